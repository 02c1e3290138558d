"""Rules for operators that compute: how they tie input channels to output channels.

Each rule returns the channels of the first output, or None where it does not apply; then all inputs are pinned.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant, input_at, rank
from quantseg.refinement.channel_order.ties import Constant, Ids, Lane, Ties, axis_size, fits, is_variable, lane
from quantseg.refinement.equalisation.classes import LinearProduct


def product(ties: Ties, node: ir.Node) -> Lane | None:
    """Conv, Gemm and MatMul with constant weight: new channels, which may be permuted within their group.

    The output channels of a depthwise convolution are tied to its input channels.
    """
    weight, bias = constant(input_at(node, 1)), input_at(node, 2)
    source = node.inputs[0]
    if weight is None or weight.dtype != np.float32 or not is_variable(source):
        return None
    if node.op_type == "Conv":
        axis, groups, rows = 1, node.attributes.get_int("group", 1), weight
    else:
        axis, groups = (rank(source) or 0) - 1, 1
        flat = axis == 1 and node.attributes.get_int("transA", 0) == 0
        if weight.ndim != 2 or axis < 1 or (node.op_type == "Gemm" and not flat):
            return None
        rows = weight if node.attributes.get_int("transB", 0) else weight.T
    made, read_count = len(rows), groups * rows.shape[1]
    values = constant(bias)
    if bias is not None and (values is None or values.shape not in ((made,), (1, made))):
        return None
    read = lane(ties, source)
    if read is None or read.axis != axis:
        ties.pin(None if read is None else read.ids)
        read = Lane(ties.fresh(read_count), axis)
        ties.pin(read.ids)
    if len(read.ids) != read_count or made % groups:
        return None
    ids = ties.fresh(made)
    if groups == read_count == made:
        ties.join(read.ids, ids)
    else:
        ties.stop(read.ids[rows.shape[1] - 1 :: rows.shape[1]])
        ties.stop(ids[made // groups - 1 :: made // groups])
    flat_rows = rows.reshape(made, rows.shape[1], -1).astype(np.float32)
    ties.products.append(LinearProduct(node, flat_rows, groups, read.ids, ids))
    return Lane(ids, axis)


def elementwise(ties: Ties, node: ir.Node) -> Lane | None:
    """Elementwise operators with broadcasting: operands with the same channels are tied."""
    output = node.outputs[0]
    dims, variables = rank(output), [value for value in node.inputs if value is not None and is_variable(value)]
    if dims is None or not _only_first_output(node):
        return None
    lanes = [lane(ties, value) for value in variables if rank(value) != 0]
    first = next((found for found in lanes if found is not None and fits(output, found)), None)
    if first is None:
        return None
    for value, found in zip([value for value in variables if rank(value) != 0], lanes, strict=True):
        if found is None or rank(value) != dims:
            return None
        if len(found.ids) == len(first.ids) and found.axis == first.axis:
            continue
        if axis_size(value, first.axis) != 1 or len(first.ids) == 1:
            return None
        ties.pin(found.ids)  # it broadcasts along the channels, whatever its own channel axis is
    places = []
    for index, operand in enumerate(node.inputs):
        values = constant(operand) if operand is not None and not is_variable(operand) else None
        if values is None:
            continue
        axis = first.axis - dims + values.ndim
        if axis < 0 or values.shape[axis] == 1:
            continue
        if values.ndim > dims or values.shape[axis] != len(first.ids):
            return None
        places.append(Constant(node, index, axis, first.ids))
    ties.constants.extend(places)
    for found in lanes:
        if found is not None and len(found.ids) == len(first.ids) and found.axis == first.axis:
            ties.join(first.ids, found.ids)
    return first


def through(ties: Ties, node: ir.Node) -> Lane | None:
    """Operators whose output has the channels of the first input; no other input may have channels."""
    found = lane(ties, node.inputs[0])
    if found is None or not _only_first_output(node) or not fits(node.outputs[0], found):
        return None
    if any(lane(ties, value) is not None for value in node.inputs[1:]):
        return None
    return found if rank(node.inputs[0]) == rank(node.outputs[0]) else None


def images(ties: Ties, node: ir.Node) -> Lane | None:
    """Pools and the like, which treat each channel of axis 1 separately."""
    found = through(ties, node)
    return found if found is not None and found.axis == 1 else None


def resize(ties: Ties, node: ir.Node) -> Lane | None:
    """Resize without cropping, which leaves channels as they are."""
    cropping = node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    return None if cropping else through(ties, node)


def pad(ties: Ties, node: ir.Node) -> Lane | None:
    """Pad of other axes than that of the channels."""
    found, pads, axes = lane(ties, node.inputs[0]), constant(input_at(node, 1)), constant(input_at(node, 3))
    dims = rank(node.inputs[0])
    if found is None or pads is None or dims is None or (input_at(node, 3) is not None and axes is None):
        return None
    along = range(dims) if axes is None else [int(axis) % dims for axis in axes]
    count = len(pads) // 2
    moved = any(pads[i] or pads[count + i] for i, axis in enumerate(along) if axis == found.axis)
    return None if moved else through(ties, node)


def normalisation(ties: Ties, node: ir.Node) -> Lane | None:
    """BatchNormalization, InstanceNormalization with constant vectors of one number for each channel."""
    found = lane(ties, node.inputs[0])
    vectors = [constant(value) for value in node.inputs[1:]]
    if found is None or found.axis != 1 or not fits(node.outputs[0], found) or not _only_first_output(node):
        return None
    if any(values is None or values.shape != found.ids.shape for values in vectors):
        return None
    ties.constants.extend(Constant(node, 1 + index, 0, found.ids) for index in range(len(vectors)))
    return found


def reduction(ties: Ties, node: ir.Node) -> Lane | None:
    """Reductions, such as ReduceMean, with keepdims, over other axes than that of the channels."""
    found, dims = lane(ties, node.inputs[0]), rank(node.inputs[0])
    given = constant(input_at(node, 1))
    axes = node.attributes.get_ints("axes", ()) if input_at(node, 1) is None else given
    if found is None or dims is None or axes is None or len(axes) == 0 or not node.attributes.get_int("keepdims", 1):
        return None
    over = {int(axis) % dims for axis in axes}
    return found if found.axis not in over and fits(node.outputs[0], found) else None


def transpose(ties: Ties, node: ir.Node) -> Lane | None:
    """Transpose: the channels move with their axis."""
    found, dims = lane(ties, node.inputs[0]), rank(node.inputs[0])
    if found is None or dims is None:
        return None
    order = list(node.attributes.get_ints("perm", tuple(reversed(range(dims)))))
    return replace(found, axis=order.index(found.axis))


def reshape(ties: Ties, node: ir.Node) -> Lane | None:
    """Reshape and the like that keep the channel axis, or that merge it with pixels or split it from them again.

    Channels stay an axis of their own where an output axis has as many entries and as many elements behind each (or
    before it). Where channels are the last axis and the output's last axis is a multiple of it, that holds the channels
    of several pixels in sequence; where it is a divisor, it splits these again.
    """
    found, output = lane(ties, node.inputs[0]), node.outputs[0]
    if found is None or output.shape is None:
        return None
    before, after = list(node.inputs[0].shape or ()), list(output.shape)  # type: ignore[union-attr]
    count = len(found.ids)
    axis = _same_axis(before, after, found.axis, count)
    if axis is not None:
        return Lane(found.ids, axis)
    last = after[-1] if after else None
    if found.axis != len(before) - 1 or not isinstance(last, int) or last == 0:
        return None
    if last % count == 0:
        return Lane(np.tile(found.ids, last // count), len(after) - 1)
    if count % last == 0:
        return Lane(alike(ties, found.ids.reshape(-1, last)), len(after) - 1)
    return None


def alike(ties: Ties, phases: Ids) -> Ids:
    """Ties all rows of channel numbers to the first row and returns that."""
    for phase in phases[1:]:
        ties.join(phases[0], phase)
    first: Ids = phases[0]
    return first


def _same_axis(before: Sequence[object], after: Sequence[object], axis: int, count: int) -> int | None:
    for place, size in enumerate(after):
        if size != count:
            continue
        behind, left = _size(before[axis + 1 :]), _size(after[place + 1 :])
        ahead, right = _size(before[:axis]), _size(after[:place])
        if (behind is not None and behind == left) or (ahead is not None and ahead == right):
            return place
    return None


def _size(dims: Sequence[object]) -> int | None:
    known = [dim for dim in dims if isinstance(dim, int)]
    return prod(known) if len(known) == len(dims) else None


def _only_first_output(node: ir.Node) -> bool:
    return not any(output.uses() or output.is_graph_output() for output in node.outputs[1:])
