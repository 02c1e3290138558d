"""Rules for operators that move channels: the channels of the output, or None where unknown."""

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant, input_at, rank
from quantseg.refinement.channel_order.operators import alike
from quantseg.refinement.channel_order.ties import Ids, Lane, Ties, axis_size, contiguous, lane


def concat(ties: Ties, node: ir.Node) -> Lane | None:
    """Concat: along the channel axis all channels in sequence; along another axis those of all inputs are tied."""
    found, dims = [lane(ties, value) for value in node.inputs], rank(node.outputs[0])
    parts = [part for part in found if part is not None]
    if dims is None or len(parts) < len(found) or len({part.axis for part in parts}) > 1:
        return None
    if node.attributes.get_int("axis", 1) % dims == parts[0].axis:
        return Lane(np.concatenate([part.ids for part in parts]), parts[0].axis)
    if len({len(part.ids) for part in parts}) > 1:
        return None
    for part in parts[1:]:
        ties.join(parts[0].ids, part.ids)
    return parts[0]


def split(ties: Ties, node: ir.Node) -> Lane | None:
    """Split: along the channel axis each output has its part of the channels; along another axis it has all."""
    found, dims = lane(ties, node.inputs[0]), rank(node.inputs[0])
    if found is None or dims is None:
        return None
    along = node.attributes.get_int("axis", 0) % dims == found.axis
    counts = [axis_size(output, found.axis) for output in node.outputs]
    sizes = [count for count in counts if count is not None]
    if len(sizes) < len(counts) or (along and sum(sizes) != len(found.ids)):
        return None
    start = 0
    for output, size in zip(node.outputs, sizes, strict=True):
        ties.put(output, Lane(found.ids[start : start + size] if along else found.ids, found.axis))
        start += size
    return Lane(ties.of[node.outputs[0]], found.axis)


def sliced(ties: Ties, node: ir.Node) -> Lane | None:
    """Slice with constant bounds."""
    found, dims = lane(ties, node.inputs[0]), rank(node.inputs[0])
    starts, ends = constant(input_at(node, 1)), constant(input_at(node, 2))
    axes, steps = constant(input_at(node, 3)), constant(input_at(node, 4))
    if found is None or dims is None or axes is None:
        return None
    along = [int(axis) % dims for axis in axes]
    if found.axis not in along:
        return found
    if starts is None or ends is None or (input_at(node, 4) is not None and steps is None):
        return None
    place = along.index(found.axis)
    step = 1 if steps is None else int(steps[place])
    start, end, count = int(starts[place]), int(ends[place]), len(found.ids)
    beyond = step < 0 and end < -count  # before the first one
    return _picked(ties, found, np.arange(count)[start : None if beyond else end : step])


def gather(ties: Ties, node: ir.Node) -> Lane | None:
    """Gather with constant indices."""
    found, dims, places = lane(ties, node.inputs[0]), rank(node.inputs[0]), constant(node.inputs[1])
    if found is None or dims is None or places is None or places.ndim != 1:
        return None
    if node.attributes.get_int("axis", 0) % dims != found.axis:
        return found
    return _picked(ties, found, places.astype(np.int64) % len(found.ids))


def _picked(ties: Ties, found: Lane, places: Ids) -> Lane:
    """The channels at these positions. Blocks end behind a position that is not followed by its successor."""
    ids = found.ids[places]
    ties.stop(ids[~contiguous(places)])
    return Lane(ids, found.axis)


def depth_to_space(ties: Ties, node: ir.Node) -> Lane | None:
    """DepthToSpace: channels that become pixels of one output channel are tied to one order."""
    found, side = lane(ties, node.inputs[0]), node.attributes.get_int("blocksize", 1)
    if found is None or found.axis != 1 or len(found.ids) % (side * side):
        return None
    crd = node.attributes.get_string("mode", "DCR") == "CRD"
    ids = found.ids
    return Lane(alike(ties, ids.reshape(-1, side * side).T if crd else ids.reshape(side * side, -1)), 1)


def space_to_depth(ties: Ties, node: ir.Node) -> Lane | None:
    """SpaceToDepth: the channels of all pixels of a spatial block, in sequence."""
    found, side = lane(ties, node.inputs[0]), node.attributes.get_int("blocksize", 1)
    if found is None or found.axis != 1:
        return None
    return Lane(np.tile(found.ids, side * side), 1)
