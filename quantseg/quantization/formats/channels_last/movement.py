"""Movements of NHWC tensors: the model's operators with their axes renumbered, so that whole pixels are copied.

onnxruntime's DepthToSpace and nearest Resize copy element by element in NHWC; a Transpose or Concat of longer runs does
the same several times faster (onnxruntime 1.31). A selection or reordering of channels becomes no node at all.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.quantization.formats.editor import GraphEditor
from quantseg.quantization.formats.slots import AXES, LAST, PADDING, SlotTensor, can_be_image, compact, count_of
from quantseg.quantization.operators import IntegerForm
from quantseg.quantization.operators.nearest import whole_factors

MOST_CARRIED = 2
"""Most channel slots per wanted channel; a tensor with more is sliced."""


def aligned(editor: GraphEditor, values: Sequence[ir.Value | None]) -> list[SlotTensor] | None:
    """Operands of an elementwise operator with their channels in the same slots; None where one has no NHWC form.

    An operand of one channel, which is broadcast, keeps its single slot.
    """
    if not all(can_be_image(value) for value in values):
        return None
    variable = [value for value in values if value is not None and value.const_value is None]
    most = max(map(_width, values))
    orders = {editor.tensor(value).channels for value in variable if count_of(value) == most}
    channels = orders.pop() if len(orders) == 1 else tuple(range(most))
    return [_in_places(editor, value, channels) for value in values]


def _width(value: ir.Value | None) -> int:
    """The number of channels of an operand; a constant may lack leading axes."""
    if value is None or value.const_value is None:
        return count_of(value)
    return int((1, 1, 1, *value.const_value.shape.numpy())[-3])


def _in_places(editor: GraphEditor, value: ir.Value | None, channels: tuple[int, ...]) -> SlotTensor:
    assert value is not None
    if value.const_value is not None:
        return editor.constant_image(value, channels)
    if editor.tensor(value).channels == channels:
        return editor.tensor(value)
    return compact(editor.channels_last(value), count_of(value))


def side_by_side(editor: GraphEditor, values: Sequence[ir.Value | None]) -> list[SlotTensor] | None:
    """Operands of a Concat of channels, each with its own slots; None where one has no NHWC form."""
    if not all(can_be_image(value) for value in values):
        return None
    constant = [value is not None and value.const_value is not None for value in values]
    return [
        _in_places(editor, value, ()) if fixed else editor.tensor(value)
        for value, fixed in zip(values, constant, strict=True)
    ]


def concat_places(tensors: Sequence[SlotTensor]) -> tuple[int, ...]:
    """The channel slots of the concatenation of these tensors."""
    places: list[int] = []
    offset = 0
    for tensor in tensors:
        places += [channel if channel == PADDING else offset + channel for channel in tensor.channels]
        offset += len(tensor.places)
    return tuple(places)


def pad(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor] | None:
    """Pad with real zero, which is the zero-point, or by reflection or repetition; only where it names all axes."""
    data, *rest = editor.inputs(node)
    widths = _numbers(rest[0])
    if widths is None or len(rest) > 2 or len(widths) != 8:
        return None
    around = not (widths[1] or widths[5])
    tensor = editor.tensor(data) if around else compact(editor.channels_last(data), count_of(data))
    amounts = _ints(
        editor, node, "pads", [int(side[axis]) for side in (widths[:4], widths[4:]) for axis in (0, 2, 3, 1)]
    )
    (padded,) = editor.stand_in(node, "Pad", [tensor.value, amounts, editor.grid(data)[1]])
    return [tensor.with_value(padded) if around else compact(padded, count_of(node.outputs[0]))]


def cut(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor] | None:
    """Slice with constant limits. Channels that it removes keep their slots, unless most slots would be such."""
    data, *limits = editor.inputs(node)
    numbers = [found for value in limits if (found := _numbers(value)) is not None]
    if len(numbers) < len(limits):
        return None
    count = len(numbers[0])
    numbers += [np.arange(count), np.ones(count, np.int64)][len(numbers) - 2 :]
    first, last, axes, steps = numbers
    tensor = editor.tensor(data)
    kept = [range(count_of(data))]
    for index in np.flatnonzero(axes % 4 == 1):
        kept.append(kept[-1][int(first[index]) : int(last[index]) : int(steps[index])])
    if not kept[-1]:
        return None
    tensor = _chosen(editor, data, kept[-1])
    around = np.flatnonzero(axes % 4 != 1)
    if not around.size:
        return [tensor]
    inputs = [
        _ints(editor, node, what, values[around].tolist())
        for what, values in (("starts", first), ("ends", last), ("axes", np.array([AXES[int(a)] for a in axes])))
    ]
    inputs.append(_ints(editor, node, "steps", steps[around].tolist()))
    return [tensor.with_value(editor.stand_in(node, "Slice", [tensor.value, *inputs])[0])]


def split(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor] | None:
    """Split along any axis; of a split of channels, each part may be the whole tensor with its own map of slots."""
    data, *sizes = editor.inputs(node)
    axis = AXES[node.attributes.get_int("axis", 0)]
    if axis == LAST:
        counts = [count_of(output) for output in node.outputs]
        if not all(counts):
            return None
        ends = np.cumsum(counts)
        return [
            _chosen(editor, data, range(int(end) - count, int(end))) for count, end in zip(counts, ends, strict=True)
        ]
    tensor = editor.tensor(data)
    return [tensor.with_value(part) for part in editor.stand_in(node, "Split", [tensor.value, *sizes], axis=axis)]


def chosen(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor] | None:
    """Gather of channels, each at most once, as in a channel shuffle."""
    data, indices = editor.inputs(node)
    numbers = _numbers(indices)
    if AXES[node.attributes.get_int("axis", 0)] != LAST or numbers is None or numbers.ndim != 1:
        return None
    wanted = (numbers % count_of(data)).tolist()
    return [_chosen(editor, data, wanted)] if len(set(wanted)) == len(wanted) else None


def _chosen(editor: GraphEditor, value: ir.Value | None, wanted: Sequence[int]) -> SlotTensor:
    """Some channels in another order: the same integers with another map of slots, or sliced by MOST_CARRIED."""
    tensor = editor.tensor(value)
    if len(wanted) * MOST_CARRIED < len(tensor.channels):
        return editor.cut_out(value, wanted)
    place = {channel: number for number, channel in enumerate(wanted)}
    return SlotTensor(tensor.value, tuple(place.get(channel, PADDING) for channel in tensor.channels))


def depth_to_space(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor]:
    """DepthToSpace. In mode DCR, depth (r, c, o), a Transpose of r and the pixel columns moves runs of (c, o).

    In mode CRD, depth (o, r, c), it moves element by element.
    """
    data, size = editor.inputs(node)[0], node.attributes["blocksize"].as_int()
    tensor, count = editor.tensor(data), count_of(node.outputs[0])
    pixel = _same_in_each_phase(tensor.channels, size**2, count)
    by_phase = node.attributes.get_string("mode", "DCR") == "DCR"
    if not by_phase or pixel is None:
        tensor, pixel = compact(editor.channels_last(data), count_of(data)), tuple(range(count))
    order: tuple[int, ...] = (0, 1, 3, 2, 4) if by_phase else (0, 1, 4, 2, 5, 3)
    apart = [0, 0, 0, size, size * len(pixel)] if by_phase else [0, 0, 0, count, size, size]
    blocks = _reshaped(editor, node, tensor.value, "blocks", _ints(editor, node, "blocks_shape", apart))
    rows = editor.transpose(blocks, order, f"{node.name}_rows_apart")
    shape = _shape(editor, node, tensor.value, _sizes(node.outputs[0]), (size, size), len(pixel))
    return [SlotTensor(_reshaped(editor, node, rows, "pixels", shape), pixel)]


def _same_in_each_phase(channels: tuple[int, ...], phases: int, count: int) -> tuple[int, ...] | None:
    """The slots of one output pixel's channels, if they are the same in each phase; else None."""
    length = len(channels) // phases
    pixel = channels[:length]
    expected = [c if c == PADDING else phase * count + c for phase in range(phases) for c in pixel]
    return pixel if channels == tuple(expected) else None


def nearest(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor] | None:
    """Nearest Resize by integer factors: pixels are repeated in each row, then rows."""
    factors = whole_factors(node)
    if factors is None:
        return None
    tensor = editor.tensor(editor.inputs(node)[0])
    value, places = tensor.value, len(tensor.channels)
    for what, axis, (down, across) in (("columns", 3, (1, factors[1])), ("rows", 2, (factors[0], 1))):
        if down * across > 1:
            along, repeated = (ir.AttrInt64("axis", axis),), [value] * (down * across)
            (joined,) = editor.insert("Concat", repeated, f"{node.name}_{what}_repeated", attributes=along)
            sizes = _sizes(node.inputs[0]) if what == "columns" else _sizes(node.outputs[0])
            if what == "columns":
                sizes = [size * by if size > 0 else size for size, by in zip(sizes, (1, 1, across), strict=True)]
            shape = _shape(editor, node, value, sizes, (down, across), places)
            value = _reshaped(editor, node, joined, what, shape)
    return [tensor.with_value(value)]


def _sizes(value: ir.Value | None) -> list[int]:
    """(N, H, W) of a tensor (N, C, H, W), −1 where dynamic."""
    assert value is not None
    assert value.shape is not None
    sizes = [size if isinstance(size, int) else -1 for size in value.shape]
    return [sizes[axis] for axis in (0, 2, 3)]


def _shape(
    editor: GraphEditor, node: ir.Node, before: ir.Value, sizes: list[int], factors: tuple[int, int], places: int
) -> ir.Value:
    """The shape (N, H, W, slots) of `before` with its rows and columns multiplied by `factors`.

    Where more than one size is dynamic, it is computed at run time.
    """
    if sizes.count(-1) <= 1:
        return _ints(editor, node, "shape", [*sizes, places])
    (shape,) = editor.insert("Shape", [before], f"{node.name}_size")
    factor = _ints(editor, node, "factors", [1, *factors])
    limits = [_ints(editor, node, what, [number]) for what, number in (("first", 0), ("last", 3))]
    (spatial,) = editor.insert("Slice", [shape, *limits], f"{node.name}_sizes")
    (larger,) = editor.insert("Mul", [spatial, factor], f"{node.name}_sizes_after")
    count = _ints(editor, node, "places", [places])
    return editor.insert("Concat", [larger, count], f"{node.name}_shape", attributes=(ir.AttrInt64("axis", 0),))[0]


def _numbers(value: ir.Value | None) -> NDArray[np.int64] | None:
    return None if value is None or value.const_value is None else np.asarray(value.const_value.numpy(), np.int64)


def _ints(editor: GraphEditor, node: ir.Node, what: str, numbers: list[int]) -> ir.Value:
    return editor.constant(f"{node.name}_{what}", np.array(numbers, np.int64))


def _reshaped(editor: GraphEditor, node: ir.Node, value: ir.Value, what: str, shape: ir.Value) -> ir.Value:
    return editor.insert("Reshape", [value, shape], f"{node.name}_{what}")[0]
