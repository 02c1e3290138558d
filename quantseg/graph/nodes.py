"""What onnx's checker lets pass in a node, and what nothing behind it can work with.

An attribute may have no type, or refer to one of a function where there is none. A function may have the name of an
ONNX operator and fewer inputs: onnxruntime (1.32) computes sizes by the name of a node alone, whatever its domain,
reads an input that is not there, and the process ends. Such a model must not reach it.
"""

import onnx_ir as ir

from quantseg.errors import ModelError

_NEEDED = {"Add": 2, "Div": 2, "Gather": 2, "Mul": 2, "Sub": 2, "Size": 1, "Squeeze": 1, "Unsqueeze": 1}
"""Name → how many inputs onnxruntime reads of such a node."""


def check_nodes(model: ir.Model) -> None:
    """Raises ModelError for such a node, of the graph, a subgraph or a function."""
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        for node in ir.traversal.RecursiveGraphIterator(graph):
            fault = _fault(node, in_function=graph is not model.graph)
            if fault is not None:
                raise ModelError(f"node {node.name!r}: {fault} and export again")


def _fault(node: ir.Node, *, in_function: bool) -> str | None:
    """What is wrong with a node, and what to do; None for nothing that is looked for here."""
    for attribute in node.attributes.values():
        if attribute.is_ref():
            if not in_function:
                return f"its attribute {attribute.name!r} refers to a function, and it stands in none; set it"
        elif attribute.type == ir.AttributeType.UNDEFINED:
            return f"its attribute {attribute.name!r} has no type; set it"
    if node.domain != "" and len(node.inputs) < _NEEDED.get(node.op_type, 0):
        return (
            f"{node.domain}.{node.op_type} takes {len(node.inputs)} inputs, the operator of ONNX that is called so "
            "takes more; rename it"
        )
    return None
