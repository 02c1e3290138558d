"""Detection logic stays float, and what detectors read keeps scales of its own.

Boxes reach hundreds of pixels, scores lie in 0…1 and mask coefficients near 0: on a common 8-bit scale one of them
would be lost. Hence every convolution or matrix product after which no other one with learned weights follows writes
its own grid, and what decodes, joins and chooses instances behind it computes in float: one region, at the end of most
detectors. Movements of one such output still move integers. In graphs that do not detect, nothing is decided here.
"""

import functools
from collections.abc import Mapping

import onnx_ir as ir

from quantseg.graph.channel_kinds import channel_kinds
from quantseg.graph.detection import CHOOSING, REGIONS, Detector, detector_of, detects
from quantseg.graph.edit import owner
from quantseg.quantization.operators import IntegerForm, Kind, integer_form

CHOOSES = "chooses or places instances, and rounding would change which"
READS_BOXES = "reads features at the boxes of detection; no integer kernel"
JOINS = "joins what detection decodes: boxes, scores and coefficients keep scales of their own"
DECODES = "detection logic, which decodes instances after the last weights"
UNLIKE = "its output channels are {kinds}, which share no scale; give each a convolution of its own"


def kept_by_detection(graph: ir.Graph) -> Mapping[ir.Node, str]:
    """The nodes of a prepared graph that stay float for the sake of detection, each with the reason."""
    return _kept(tuple(graph)) if detects(graph) else {}


@functools.lru_cache(maxsize=2)
def _kept(nodes: tuple[ir.Node, ...]) -> Mapping[ir.Node, str]:
    """Of the graph with these nodes, which are looked up again for every plan that is tried."""
    graph = owner(nodes[0])
    detector = detector_of(graph)
    assert detector is not None
    found: dict[ir.Node, str] = {}
    for node in graph:
        reason = None
        if node.op_type in CHOOSING:
            reason = CHOOSES
        elif node.op_type in REGIONS:
            reason = READS_BOXES
        elif node in detector.logic and _has_floats(node) and not _moves_one_output(node, detector, found):
            reason = JOINS if node.op_type == "Concat" else DECODES
        elif node in detector.last and len(kinds := channel_kinds(node, graph)) > 1:
            reason = UNLIKE.format(kinds=", ".join(sorted(kinds)))
        if reason is not None:
            found[node] = reason if reason == DECODES else f"{node.op_type}: {reason}"
    return found


def _has_floats(node: ir.Node) -> bool:
    values = (*(value for value in node.inputs if value is not None), *node.outputs)
    return any(value.dtype == ir.DataType.FLOAT for value in values)


def _moves_one_output(node: ir.Node, detector: Detector, kept: Mapping[ir.Node, str]) -> bool:
    """Whether the node only moves or clamps what one last product, or another such node, makes."""
    form = integer_form(node)
    if not isinstance(form, IntegerForm) or form.kind not in (Kind.MOVEMENT, Kind.CLAMP):
        return False
    value = node.inputs[form.data[0]]
    maker = None if value is None else value.producer()
    return maker is not None and maker not in kept and (maker in detector.last or maker in detector.logic)
