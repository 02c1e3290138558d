"""A detector's last convolution, whose channels are boxes, scores and coefficients, becomes one convolution of each.

    conv(x, W)[p] = concat(conv(x, W[boxes]), conv(x, W[scores]), …)[p]      p: the order of the channels as they were
Each output channel is the same sum of the same products; only so has each kind a scale of its own in integers.
Such heads: Redmon and Farhadi, YOLOv3, arXiv:1804.02767, section 2, and detectors after it with boxes of anchors.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from quantseg.graph.channel_kinds import channel_kinds
from quantseg.graph.detection import detector_of
from quantseg.graph.edit import constant, initializer, input_at, ints, owner, replace
from quantseg.graph.passes.outcome import Change, RewriteOutcome


def part_unlike_channels(model: ir.Model) -> RewriteOutcome:
    """Rewrites each last convolution of the main graph whose channels are all known by kind. Needs inferred shapes."""
    detector = detector_of(model.graph)
    if detector is None:
        return RewriteOutcome()
    changes = []
    for node in list(model.graph):
        if node not in detector.last or node.op_type != "Conv" or node.attributes.get_int("group", 1) != 1:
            continue
        kinds, weight = channel_kinds(node, model.graph), constant(node.inputs[1])
        bias = input_at(node, 2)
        if len(kinds) < 2 or weight is None or (bias is not None and constant(bias) is None):
            continue
        if sum(map(len, kinds.values())) == len(weight):
            _part(node, kinds)
            detail = ", ".join(f"{len(members)} channels of {kind}" for kind, members in kinds.items())
            changes.append(Change("part_unlike_channels", str(node.name), detail))
    return RewriteOutcome(tuple(changes))


def _part(node: ir.Node, kinds: Mapping[str, tuple[int, ...]]) -> None:
    graph, name = owner(node), str(node.name)
    parts = [_of_channels(node, kind, list(members)) for kind, members in kinds.items()]
    joined = ir.node("Concat", [part.outputs[0] for part in parts], {"axis": 1}, name=f"{name}_joined")
    order = np.concatenate([np.asarray(members, np.int64) for members in kinds.values()])
    if np.array_equal(order, np.arange(order.size)):
        replace(node, [*parts, joined])
        return
    places = ints(graph, f"{name}_places", np.argsort(order).tolist())
    replace(node, [*parts, joined, ir.node("Gather", [joined.outputs[0], places], {"axis": 1}, name=f"{name}_ordered")])


def _of_channels(node: ir.Node, kind: str, members: list[int]) -> ir.Node:
    """The convolution with some of its output channels alone."""
    graph, name = owner(node), f"{node.name}_{kind}"
    inputs = [node.inputs[0]]
    for place, stem in ((1, "weight"), (2, "bias")):
        numbers = constant(input_at(node, place))
        if numbers is not None:
            inputs.append(initializer(graph, f"{name}_{stem}", numbers[members]))
    return ir.Node("", "Conv", inputs, node.attributes.values(), name=name)
