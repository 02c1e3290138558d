"""Functions and operators of other domains that have the name of an ONNX operator, and fewer inputs.

onnxruntime (1.32) computes sizes of tensors by the name of a node alone, whatever its domain: of an Add with one input
it reads the second, and the process ends. Such a model must not reach it.
"""

import onnx_ir as ir

from quantseg.errors import ModelError

_NEEDED = {"Add": 2, "Div": 2, "Gather": 2, "Mul": 2, "Sub": 2, "Size": 1, "Squeeze": 1, "Unsqueeze": 1}
"""Name → how many inputs onnxruntime reads of such a node."""


def check_namesakes(model: ir.Model) -> None:
    """Raises ModelError for a node that onnxruntime would take for an ONNX operator of more inputs."""
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        for node in ir.traversal.RecursiveGraphIterator(graph):
            if node.domain != "" and len(node.inputs) < _NEEDED.get(node.op_type, 0):
                raise ModelError(
                    f"node {node.name!r}: {node.domain}.{node.op_type} takes {len(node.inputs)} inputs, the "
                    "operator of ONNX that is called so takes more; rename it and export again"
                )
