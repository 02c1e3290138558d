"""Rules for operators that compute: the channel numbers of the output, or None where factors do not pass."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, input_at, rank
from quantseg.refinement.equalisation.classes import Channels, Ids, LinearProduct, channel_count, known


def product(channels: Channels, node: ir.Node) -> Ids | None:
    """Conv, Gemm, MatMul with constant weight: new channels, since the weights can apply any factor."""
    read, weight = known(channels, node.inputs[0]), constant(node.inputs[1])
    if read is None or weight is None:
        return None
    if node.op_type == "Conv":
        groups, rows = node.attributes.get_int("group", 1), weight
    else:
        if rank(node.inputs[0]) != 2 or weight.ndim != 2 or node.attributes.get_int("transA", 0) != 0:
            return None
        groups, rows = 1, weight if node.attributes.get_int("transB", 0) else weight.T
    if input_at(node, 2) is not None:
        bias = constant(node.inputs[2])
        if bias is None or bias.shape not in ((len(rows),), (1, len(rows))):
            return None
    made = channels.fresh(len(rows))
    flat = rows.reshape(len(rows), rows.shape[1], -1).astype(np.float32)
    channels.products.append(LinearProduct(node, flat, groups, read, made))
    return made


def through(channels: Channels, node: ir.Node) -> Ids | None:
    """Operators whose output has the channels of the first input; other inputs (slopes, sizes) are pinned."""
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return None
    for value in node.inputs[1:]:
        channels.pin(known(channels, value))
    return _kept(node, node.inputs[0], known(channels, node.inputs[0]))


def _kept(node: ir.Node, value: ir.Value | None, ids: Ids | None) -> Ids | None:
    """`ids`, if the operand's channels are those of the output (same rank, same number of channels); else None."""
    output = node.outputs[0]
    same = ids is not None and rank(value) == rank(output) and channel_count(output) == len(ids)
    return ids if same else None


def resize(channels: Channels, node: ir.Node) -> Ids | None:
    """Resize; the extrapolation value must be zero."""
    beyond = node.attributes.get_float("extrapolation_value", 0.0)
    return None if beyond else through(channels, node)


def clamp(channels: Channels, node: ir.Node) -> Ids | None:
    """Clip with constant bounds; `equalise` compares the bounds with the observed extrema."""
    ids = known(channels, node.inputs[0])
    if ids is None or any(bound is not None and constant(bound) is None for bound in node.inputs[1:]):
        return None
    channels.clamps.append((node, ids))
    return ids


def total(channels: Channels, node: ir.Node) -> Ids | None:
    """Add and Sub: the channels of both operands are joined; a constant per channel is scaled with its channel."""
    a, b = (known(channels, value) for value in node.inputs)
    if a is not None and b is not None:
        if _kept(node, node.inputs[0], a) is None or _kept(node, node.inputs[1], b) is None:
            return None
        channels.join(a, b)
        return a
    index, ids = (0, b) if a is None else (1, a)
    other = constant(node.inputs[index])
    ids = _kept(node, node.inputs[1 - index], ids)
    if ids is None or other is None or not _per_channel(other, node.outputs[0], len(ids)):
        return None
    channels.summands.append((node, index, ids))
    return ids


def _per_channel(values: NDArray[np.generic], output: ir.Value, count: int) -> bool:
    """Whether a constant operand holds one number for each channel of the output, along axis 1."""
    dims = rank(output)
    full = () if dims is None else (1,) * (dims - values.ndim) + values.shape
    return len(full) > 1 and full[1] == count == values.size


def scaling(channels: Channels, node: ir.Node) -> Ids | None:
    """Mul: the factor of one operand passes and the other operand (a gate) is pinned; with a constant it passes too."""
    a, b = (known(channels, value) for value in node.inputs)
    if a is None or b is None:
        ids, other = (b, node.inputs[0]) if a is None else (a, node.inputs[1])
        value = node.inputs[1] if a is None else node.inputs[0]
        return _kept(node, value, ids) if constant(other) is not None else None
    ids, gate, value = a, b, node.inputs[0]
    sizes = (len(a), _pixels(node.inputs[0])), (len(b), _pixels(node.inputs[1]))
    held = all(int(number) in channels.pinned for number in a)
    if sizes[0] < sizes[1] or (sizes[0] == sizes[1] and held):
        ids, gate, value = b, a, node.inputs[1]
    channels.pin(gate)
    return _kept(node, value, ids)


def _pixels(value: ir.Value | None) -> float:
    """The number of pixels of an image tensor; each unknown size counts as 10⁴."""
    assert value is not None
    dims = [] if value.shape is None else list(value.shape)[2:]
    return float(np.prod([dim if isinstance(dim, int) else 1e4 for dim in dims]))


def pad(channels: Channels, node: ir.Node) -> Ids | None:
    """Pad of the pixels, with zeros or the tensor's own values; channels must not be padded."""
    pads, value, axes = (constant(input_at(node, index)) for index in (1, 2, 3))
    zeros = input_at(node, 2) is None or (value is not None and not value.any())
    if pads is None or not (zeros or node.attributes.get_string("mode", "constant") != "constant"):
        return None
    dims = len(pads) // 2
    along = range(dims) if axes is None else [int(axis) % (rank(node.inputs[0]) or 1) for axis in axes]
    moved = any(before or after for axis, before, after in zip(along, pads, pads[dims:], strict=False) if axis == 1)
    return None if moved else through(channels, node)


def equal(channels: Channels, node: ir.Node) -> Ids | None:
    """Equal of two tensors, whose channels are joined."""
    both = all(known(channels, value) is not None for value in node.inputs)
    return total(channels, node) if both else None


def where(channels: Channels, node: ir.Node) -> Ids | None:
    """Where that selects between a tensor and a constant zero."""
    for value, other in (node.inputs[1:], node.inputs[:0:-1]):
        zero = constant(other)
        if zero is not None and not zero.any():
            return _kept(node, value, known(channels, value))
    return None
