"""What onnx's checker lets pass in a node, and what nothing behind it can work with.

An attribute may have no type, or refer to one of a function where there is none. An operator of any number of inputs
may leave one of them out, and a node may have fewer inputs than onnxruntime (1.32) reads: the process then ends. Where
it computes sizes, it goes by the name of a node alone, whatever its domain; where it moves operators past a Transpose,
it reads a zero-point that may be left out.
"""

import onnx
import onnx_ir as ir

from quantseg.errors import ModelError

_NAMESAKES = {"Add": 2, "Div": 2, "Gather": 2, "Mul": 2, "Sub": 2, "Size": 1, "Squeeze": 1, "Unsqueeze": 1}
"""Name → how many inputs onnxruntime reads of such a node, whatever its domain."""
_WHOLE = {"QLinearLeakyRelu": 5, "QLinearSigmoid": 5}
"""Operator of onnxruntime's own → how many inputs it reads, of which the last may be left out."""
_MICROSOFT = "com.microsoft"


def check_nodes(model: ir.Model) -> None:
    """Raises ModelError for such a node, of the graph, a subgraph or a function."""
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        for node in ir.traversal.RecursiveGraphIterator(graph):
            fault = _attribute_fault(node, in_function=graph is not model.graph) or _input_fault(node)
            if fault is not None:
                raise ModelError(f"node {node.name!r}: {fault} and export again")


def _attribute_fault(node: ir.Node, *, in_function: bool) -> str | None:
    """What is wrong with an attribute, and what to do; None for nothing that is looked for here."""
    for attribute in node.attributes.values():
        if attribute.is_ref():
            if not in_function:
                return f"its attribute {attribute.name!r} refers to a function, and it stands in none; set it"
        elif attribute.type == ir.AttributeType.UNDEFINED:
            return f"its attribute {attribute.name!r} has no type; set it"
    return None


def _input_fault(node: ir.Node) -> str | None:
    """What is wrong with the inputs, and what to do; None for nothing that is looked for here."""
    count = len(node.inputs)
    if node.domain != "" and count < _NAMESAKES.get(node.op_type, 0):
        name = f"{node.domain}.{node.op_type}"
        return f"{name} takes {count} inputs, the operator of ONNX that is called so takes more; rename it"
    if node.domain == _MICROSOFT and count < _WHOLE.get(node.op_type, 0):
        return f"{node.op_type} leaves out its last zero-point; write it"
    if None in node.inputs[_first_of_many(node) :]:
        return f"{node.op_type} leaves out one of its inputs; write it"
    return None


def _first_of_many(node: ir.Node) -> int:
    """The index from which on an operator takes any number of inputs; their number where it takes none."""
    if node.domain == _MICROSOFT and node.op_type == "QLinearConcat":
        return 0
    if node.domain != "" or not onnx.defs.has(node.op_type, domain=""):
        return len(node.inputs)
    declared = onnx.defs.get_schema(node.op_type).inputs
    many = bool(declared) and declared[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic
    return len(declared) - 1 if many else len(node.inputs)
