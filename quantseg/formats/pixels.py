"""Movement of pictures (N, H, W, C): the operators of the model with their axes renumbered, whole pixels copied.

onnxruntime's DepthToSpace and nearest Resize move number by number there; a transposition or concatenation of longer
runs does the same several times faster (onnxruntime 1.31). What only selects or reorders channels is no node at all.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.formats.editor import GraphEditor
from quantseg.formats.pictures import (
    AXES,
    LAST,
    UNUSED,
    Picture,
    can_be_picture,
    compact,
    count_of,
    is_picture,
)
from quantseg.ops import IntegerForm

MOST_CARRIED = 2
"""A picture with more than so many places for each channel that is wanted is cut."""


def aligned(editor: GraphEditor, values: Sequence[ir.Value | None]) -> list[Picture] | None:
    """Tensors that meet channel by channel, all in the same places; None where one is no picture.

    One channel, which is broadcast, stands alone.
    """
    if not all(can_be_picture(value) for value in values):
        return None
    variable = [value for value in values if value is not None and value.const_value is None]
    most = max(count_of(value) for value in variable)
    orders = {editor.picture(value).channels for value in variable if count_of(value) == most}
    channels = orders.pop() if len(orders) == 1 else tuple(range(most))
    return [_in_places(editor, value, channels) for value in values]


def _in_places(editor: GraphEditor, value: ir.Value | None, channels: tuple[int, ...]) -> Picture:
    assert value is not None
    if value.const_value is not None:
        return editor.constant_picture(value, channels)
    if editor.picture(value).channels == channels:
        return editor.picture(value)
    return compact(editor.channels_last(value), count_of(value))


def side_by_side(editor: GraphEditor, values: Sequence[ir.Value | None]) -> list[Picture] | None:
    """Tensors whose channels will follow each other, each in its own places; None where one is no picture."""
    if not all(can_be_picture(value) for value in values):
        return None
    return [editor.picture(value) if is_picture(value) else _in_places(editor, value, ()) for value in values]


def concat_places(pictures: Sequence[Picture]) -> tuple[int, ...]:
    """Where the channels stand when such pictures are joined."""
    places: list[int] = []
    offset = 0
    for picture in pictures:
        places += [channel if channel == UNUSED else offset + channel for channel in picture.channels]
        offset += len(picture.places)
    return tuple(places)


def pad(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[Picture] | None:
    """Pad by real zero, which is the zero-point, or by the picture itself; its axes are all there."""
    data, *rest = editor.inputs(node)
    widths = _numbers(rest[0])
    if widths is None or len(rest) > 2 or len(widths) != 8:
        return None
    around = not (widths[1] or widths[5])
    picture = editor.picture(data) if around else compact(editor.channels_last(data), count_of(data))
    amounts = _ints(
        editor, node, "pads", [int(side[axis]) for side in (widths[:4], widths[4:]) for axis in (0, 2, 3, 1)]
    )
    (padded,) = editor.stand_in(node, "Pad", [picture.value, amounts, editor.grid(data)[1]])
    return [picture.with_value(padded) if around else compact(padded, count_of(node.outputs[0]))]


def cut(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[Picture] | None:
    """Slice with constant axes. Channels that are cut away keep their places, unless they are the most."""
    data, *limits = editor.inputs(node)
    numbers = [found for value in limits if (found := _numbers(value)) is not None]
    if len(numbers) < len(limits):
        return None
    count = len(numbers[0])
    first, last, axes, steps = (*numbers, *(np.arange(count), np.ones(count, np.int64))[len(numbers) - 2 :])
    picture = editor.picture(data)
    kept = [range(count_of(data))]
    for index in np.flatnonzero(axes % 4 == 1):
        kept.append(kept[-1][int(first[index]) : int(last[index]) : int(steps[index])])
    picture = _chosen(editor, data, kept[-1])
    around = np.flatnonzero(axes % 4 != 1)
    if not around.size:
        return [picture]
    inputs = [
        _ints(editor, node, what, values[around].tolist())
        for what, values in (("starts", first), ("ends", last), ("axes", np.array([AXES[int(a)] for a in axes])))
    ]
    inputs.append(_ints(editor, node, "steps", steps[around].tolist()))
    return [picture.with_value(editor.stand_in(node, "Slice", [picture.value, *inputs])[0])]


def split(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[Picture]:
    """Split along any axis; in two parts of the channels both are the whole picture, each with places of its own."""
    data, *sizes = editor.inputs(node)
    axis = AXES[node.attributes.get_int("axis", 0)]
    if axis == LAST:
        counts = [count_of(output) for output in node.outputs]
        ends = np.cumsum(counts)
        return [
            _chosen(editor, data, range(int(end) - count, int(end))) for count, end in zip(counts, ends, strict=True)
        ]
    picture = editor.picture(data)
    return [picture.with_value(part) for part in editor.stand_in(node, "Split", [picture.value, *sizes], axis=axis)]


def chosen(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[Picture] | None:
    """Gather of channels, each at most once, as in a channel shuffle."""
    data, indices = editor.inputs(node)
    numbers = _numbers(indices)
    if AXES[node.attributes.get_int("axis", 0)] != LAST or numbers is None or numbers.ndim != 1:
        return None
    wanted = (numbers % count_of(data)).tolist()
    return [_chosen(editor, data, wanted)] if len(set(wanted)) == len(wanted) else None


def _chosen(editor: GraphEditor, value: ir.Value | None, wanted: Sequence[int]) -> Picture:
    """Some channels of a picture, in another order: the same integers, unless most of them would be carried in vain."""
    picture = editor.picture(value)
    if len(wanted) * MOST_CARRIED < len(picture.channels):
        return editor.cut_out(value, wanted)
    place = {channel: number for number, channel in enumerate(wanted)}
    return Picture(picture.value, tuple(place.get(channel, UNUSED) for channel in picture.channels))


def depth_to_space(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[Picture] | None:
    """Depth (r, c, o), block row before block column, to pixels: only r and the columns of pixels change places.

    Depth (o, r, c) moves number by number. None where two sizes of the result are dynamic.
    """
    data, size = editor.inputs(node)[0], node.attributes["blocksize"].as_int()
    after, picture, count = _sizes(node.outputs[0]), editor.picture(data), count_of(node.outputs[0])
    if after is None:
        return None
    order: tuple[int, ...]
    pixel = _same_in_each_phase(picture.channels, size**2, count)
    if node.attributes.get_string("mode", "DCR") == "DCR" and pixel is not None:
        apart, order = [0, 0, 0, size, size * len(pixel)], (0, 1, 3, 2, 4)
    elif node.attributes.get_string("mode", "DCR") == "DCR":
        picture, pixel = compact(editor.channels_last(data), count_of(data)), tuple(range(count))
        apart, order = [0, 0, 0, size, size * count], (0, 1, 3, 2, 4)
    else:
        picture, pixel = compact(editor.channels_last(data), count_of(data)), tuple(range(count))
        apart, order = [0, 0, 0, count, size, size], (0, 1, 4, 2, 5, 3)
    blocks = _reshaped(editor, node, picture.value, "blocks", apart)
    rows = editor.transpose(blocks, order, f"{node.name}_rows_apart")
    return [Picture(_reshaped(editor, node, rows, "pixels", [*after, len(pixel)]), pixel)]


def _same_in_each_phase(channels: tuple[int, ...], phases: int, count: int) -> tuple[int, ...] | None:
    """The places of one pixel's channels, where each phase has them alike; else None."""
    length = len(channels) // phases
    pixel = channels[:length]
    expected = [c if c == UNUSED else phase * count + c for phase in range(phases) for c in pixel]
    return pixel if channels == tuple(expected) else None


def nearest(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[Picture] | None:
    """Nearest Resize by whole factors: each pixel is repeated in its row, then each row."""
    before, after = _sizes(node.inputs[0]), _sizes(node.outputs[0])
    if before is None or after is None or -1 in (*before[1:], *after[1:]):
        return None
    if count_of(node.inputs[0]) != count_of(node.outputs[0]):
        return None
    pairs = list(zip(before[1:], after[1:], strict=True))
    if not all(repeats(node, *pair) for pair in pairs):
        return None
    picture = editor.picture(editor.inputs(node)[0])
    value, places = picture.value, len(picture.channels)
    wide = [-1, before[1], after[2], places]
    for axis, (size, larger), shape in ((3, pairs[1], wide), (2, pairs[0], [*after, places])):
        if larger == size:
            continue
        along = (ir.AttrInt64("axis", axis),)
        (joined,) = editor.insert(
            "Concat", [value] * (larger // size), f"{node.name}_repeated_{axis}", attributes=along
        )
        value = _reshaped(editor, node, joined, f"joined_{axis}", shape)
    return [picture.with_value(value)]


def repeats(node: ir.Node, before: int, after: int) -> bool:
    """Whether a nearest Resize takes pixel i // s for pixel i along an axis, s = after / before being whole.

    Source: ONNX, Resize: coordinates and rounding of its modes.
    """
    factor = after // before
    if factor * before != after:
        return False
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    pixel = np.arange(after, dtype=np.float64)
    if mode in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"):
        position = (pixel + 0.5) / factor - 0.5
    elif mode == "asymmetric":
        position = pixel / factor
    else:
        return False
    rounded = {
        "floor": np.floor(position),
        "ceil": np.ceil(position),
        "round_prefer_floor": np.ceil(position - 0.5),
        "round_prefer_ceil": np.floor(position + 0.5),
    }[rounding]
    return bool((np.clip(rounded, 0, before - 1) == pixel // factor).all())


def _sizes(value: ir.Value | None) -> list[int] | None:
    """(N, H, W) of a picture, −1 for the one size that is dynamic; None where more than one is."""
    assert value is not None
    assert value.shape is not None
    sizes = [size if isinstance(size, int) else -1 for size in value.shape]
    return None if sizes.count(-1) > 1 else [sizes[axis] for axis in (0, 2, 3)]


def _numbers(value: ir.Value | None) -> NDArray[np.int64] | None:
    return None if value is None or value.const_value is None else np.asarray(value.const_value.numpy(), np.int64)


def _ints(editor: GraphEditor, node: ir.Node, what: str, numbers: list[int]) -> ir.Value:
    return editor.constant(f"{node.name}_{what}", np.array(numbers, np.int64))


def _reshaped(editor: GraphEditor, node: ir.Node, value: ir.Value, what: str, shape: list[int]) -> ir.Value:
    return editor.insert("Reshape", [value, _ints(editor, node, f"{what}_shape", shape)], f"{node.name}_{what}")[0]
