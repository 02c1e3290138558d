"""Rules for operators that move channels or pixels: the channel numbers of the output, or None where unknown."""

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant, input_at, rank, static_shape
from quantseg.refinement.equalisation.classes import Channels, Ids, channel_count, known


def concat(channels: Channels, node: ir.Node) -> Ids | None:
    """Concat: along axis 1 all channels in sequence; along another axis the channels of all inputs are joined."""
    parts = [known(channels, value) for value in node.inputs]
    dims = rank(node.outputs[0])
    if dims is None or any(part is None for part in parts):
        return None
    found = [part for part in parts if part is not None]
    if node.attributes.get_int("axis", 1) % dims == 1:
        return np.concatenate(found)
    if len({len(part) for part in found}) > 1:
        return None
    for part in found[1:]:
        channels.join(found[0], part)
    return found[0]


def split(channels: Channels, node: ir.Node) -> Ids | None:
    """Split: along axis 1 each output has its part of the channels; along another axis it has all."""
    ids = known(channels, node.inputs[0])
    dims = rank(node.inputs[0])
    if ids is None or dims is None:
        return None
    start = 0
    for output in node.outputs:
        count = channel_count(output)
        if count is None:
            return None
        along = node.attributes.get_int("axis", 0) % dims == 1
        channels.of[output] = ids[start : start + count] if along else ids
        start += count
    return channels.of[node.outputs[0]]


def sliced(channels: Channels, node: ir.Node) -> Ids | None:
    """Slice with constant bounds."""
    ids, dims = known(channels, node.inputs[0]), rank(node.inputs[0])
    starts, ends = constant(node.inputs[1]), constant(node.inputs[2])
    axes, steps = constant(input_at(node, 3)), constant(input_at(node, 4))
    if ids is None or dims is None:
        return None
    if axes is not None and 1 not in {int(axis) % dims for axis in axes}:
        return ids
    if axes is None or starts is None or ends is None:
        return None
    place = [int(axis) % dims for axis in axes].index(1)
    return ids[int(starts[place]) : int(ends[place]) : 1 if steps is None else int(steps[place])]


def gather(channels: Channels, node: ir.Node) -> Ids | None:
    """Gather with constant indices."""
    ids, dims, places = known(channels, node.inputs[0]), rank(node.inputs[0]), constant(node.inputs[1])
    if ids is None or dims is None or places is None or places.ndim != 1:
        return None
    return ids[places] if node.attributes.get_int("axis", 0) % dims == 1 else ids


def depth_to_space(channels: Channels, node: ir.Node) -> Ids | None:
    """DepthToSpace: channels that become pixels of one output channel are joined."""
    ids, side = known(channels, node.inputs[0]), node.attributes.get_int("blocksize", 1)
    if ids is None:
        return None
    crd = node.attributes.get_string("mode", "DCR") == "CRD"
    phases = ids.reshape(-1, side * side).T if crd else ids.reshape(side * side, -1)
    for phase in phases[1:]:
        channels.join(phases[0], phase)
    first: Ids = phases[0]
    return first


def reshape(channels: Channels, node: ir.Node) -> Ids | None:
    """Reshape and Flatten that keep the batch and channel axes and only reshape the pixels."""
    ids = known(channels, node.inputs[0])
    before, after = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    if ids is None or before is None or after is None or len(after) < 2:
        return None
    return ids if before[:2] == after[:2] else None


def transpose(channels: Channels, node: ir.Node) -> Ids | None:
    """Transpose that leaves channels on axis 1."""
    ids, order = known(channels, node.inputs[0]), node.attributes.get_ints("perm", None)
    return ids if order is not None and len(order) > 1 and order[1] == 1 else None
