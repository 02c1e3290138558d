"""Where an integer form of an activation pays: in front of another convolution or product."""

import onnx_ir as ir

from quantseg.graph.operators import PRODUCTS

ONLY_THE_ANSWER = "only the answer follows, which integers would round once more"
"""The reason to leave a node that no convolution or product comes after."""


def leading_to_product(graph: ir.Graph) -> set[ir.Node]:
    """The nodes of the graph, the products left out, on whose results a convolution or matrix product depends."""
    found: set[ir.Node] = set()
    for node in reversed(list(graph)):
        users = [user for output in node.outputs for user in output.consumers()]
        if any(user in found or (user.domain == "" and user.op_type in PRODUCTS) for user in users):
            found.add(node)
    return found
