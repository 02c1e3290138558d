"""Movement of pictures as (N, H, W, C): the operators of the model with their axes renumbered, whole pixels copied.

onnxruntime's DepthToSpace and nearest Resize move number by number there; a transposition or concatenation of longer
runs does the same several times faster (onnxruntime 1.31).
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.formats.editor import GraphEditor
from quantseg.ops import IntegerForm

AXES = {0: 0, 1: 3, 2: 1, 3: 2, -4: 0, -3: 3, -2: 1, -1: 2}
"""Axis of (N, C, H, W) → axis of (N, H, W, C)."""


def is_picture(value: ir.Value | None) -> bool:
    """Whether a tensor has the four axes of a stack of pictures."""
    return value is not None and value.shape is not None and len(value.shape) == 4


def can_be_picture(value: ir.Value | None) -> bool:
    """Whether it is one or a constant, which can be given the axes that it lacks."""
    constant = value is not None and value.const_value is not None and len(value.const_value.shape) <= 4
    return constant or is_picture(value)


def concat(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    """Concat of pictures on one grid."""
    pictures = [editor.channels_last(value) for value in editor.inputs(node)]
    return _inserted(editor, node, pictures, axis=AXES[node.attributes["axis"].as_int()])


def pad(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value] | None:
    """Pad by real zero, which is the zero-point, or by the picture itself; its axes are all there."""
    data, *rest = editor.inputs(node)
    widths = _constant(rest[0])
    if widths is None or len(rest) > 2 or len(widths) != 8:
        return None
    numbers = [side[axis] for side in (widths[:4], widths[4:]) for axis in (0, 2, 3, 1)]
    amounts = _ints(editor, node, "pads", numbers)
    return _inserted(editor, node, [editor.channels_last(data), amounts, editor.grid(data)[1]])


def cut(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value] | None:
    """Slice with constant axes."""
    data, starts, ends, *rest = editor.inputs(node)
    first, axes = _constant(starts), _constant(rest[0]) if rest else None
    if first is None or (rest and axes is None):
        return None
    named = range(len(first)) if axes is None else axes
    places = _ints(editor, node, "axes", [AXES[int(axis)] for axis in named])
    return _inserted(editor, node, [editor.channels_last(data), starts, ends, places, *rest[1:]])


def split(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    """Split along any axis."""
    data, *sizes = editor.inputs(node)
    axis = AXES[node.attributes.get_int("axis", 0)]
    return _inserted(editor, node, [editor.channels_last(data), *sizes], axis=axis)


def depth_to_space(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value] | None:
    """Depth (r, c, o), block row before block column, to pixels: only r and the columns of pixels change places.

    Depth (o, r, c) moves number by number. None where two sizes of the result are dynamic.
    """
    data, size = editor.inputs(node)[0], node.attributes["blocksize"].as_int()
    after = _sizes(node.outputs[0])
    if after is None:
        return None
    channels = after[3]
    order: tuple[int, ...]
    if node.attributes.get_string("mode", "DCR") == "DCR":
        apart, order = [0, 0, 0, size, size * channels], (0, 1, 3, 2, 4)
    else:
        apart, order = [0, 0, 0, channels, size, size], (0, 1, 4, 2, 5, 3)
    blocks = _reshaped(editor, node, editor.channels_last(data), "blocks", apart)
    rows = editor.transpose(blocks, order, f"{node.name}_rows_apart")
    return [_reshaped(editor, node, rows, "pixels", after)]


def nearest(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value] | None:
    """Nearest Resize by whole factors: each pixel is repeated in its row, then each row."""
    before, after = _sizes(node.inputs[0]), _sizes(node.outputs[0])
    if before is None or after is None or before[3] != after[3] or -1 in (*before[1:], *after[1:]):
        return None
    factors = [b // a for a, b in zip(before[1:3], after[1:3], strict=True)]
    if not all(_repeats(node, place, *pair) for place, pair in enumerate(zip(before[1:3], after[1:3], strict=True))):
        return None
    value = editor.channels_last(editor.inputs(node)[0])
    wide = [-1, before[1], after[2], after[3]]
    for axis, factor, shape in ((3, factors[1], wide), (2, factors[0], after)):
        if factor == 1:
            continue
        repeated = [value] * factor
        along = (ir.AttrInt64("axis", axis),)
        (joined,) = editor.insert("Concat", repeated, f"{node.name}_repeated_{axis}", attributes=along)
        value = _reshaped(editor, node, joined, f"shape_{axis}", shape)
    return [value]


def _repeats(node: ir.Node, place: int, before: int, after: int) -> bool:
    """Whether nearest takes pixel i // s for pixel i along this axis, s = after / before being whole.

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
    """(N, H, W, C) of a picture (N, C, H, W), −1 for the one size that is dynamic; None where more than one is."""
    assert value is not None
    assert value.shape is not None
    sizes = [size if isinstance(size, int) else -1 for size in value.shape]
    return None if sizes.count(-1) > 1 else [sizes[axis] for axis in (0, 2, 3, 1)]


def _constant(value: ir.Value | None) -> NDArray[np.int64] | None:
    return None if value is None or value.const_value is None else np.asarray(value.const_value.numpy(), np.int64)


def _ints(editor: GraphEditor, node: ir.Node, what: str, numbers: list[int]) -> ir.Value:
    return editor.constant(f"{node.name}_{what}", np.array(numbers, np.int64))


def _reshaped(editor: GraphEditor, node: ir.Node, value: ir.Value, what: str, shape: list[int]) -> ir.Value:
    return editor.insert("Reshape", [value, _ints(editor, node, f"{what}_shape", shape)], f"{node.name}_{what}")[0]


def _inserted(
    editor: GraphEditor, node: ir.Node, inputs: Sequence[ir.Value | None], **changed: int
) -> list[ir.Value]:
    """Inserts the node itself with other inputs and some attributes changed."""
    attributes = dict(node.attributes) | {name: ir.AttrInt64(name, number) for name, number in changed.items()}
    names = (f"{output.name}_quantized" for output in node.outputs)
    return editor.insert(node.op_type, inputs, *names, name=node.name, attributes=tuple(attributes.values()))
