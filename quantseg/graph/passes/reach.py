"""Where an integer form of an activation pays: upstream of another convolution or matrix product."""

import onnx_ir as ir

from quantseg.graph.detection import detector_of
from quantseg.graph.operators import PRODUCTS

ONLY_THE_HEAD = "only the output head follows, which integers would round once more"
"""The reason to leave a node between the last convolution or matrix product and the output head."""


def leading_to_product(graph: ir.Graph) -> set[ir.Node]:
    """The nodes, other than products, on whose results a convolution or matrix product depends.

    Detection logic is left out: it stays float, and so as it is.
    """
    detector = detector_of(graph)
    found: set[ir.Node] = set()
    for node in reversed(list(graph)):
        users = [user for output in node.outputs for user in output.consumers()]
        if any(user in found or (user.domain == "" and user.op_type in PRODUCTS) for user in users):
            found.add(node)
    return found if detector is None else found - detector.logic
