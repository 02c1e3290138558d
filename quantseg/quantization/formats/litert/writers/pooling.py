"""Pools and reductions."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from quantseg.files.tflite.schema import NONE, SAME, VALID
from quantseg.quantization.affine import QuantParams
from quantseg.quantization.formats.litert.editor import Editor
from quantseg.quantization.formats.litert.layout import NHWC, PlacedTensor, physical, plain
from quantseg.quantization.formats.litert.network import Tensor
from quantseg.quantization.formats.litert.writers.attributes import axes_of, ints, refused
from quantseg.quantization.formats.litert.writers.windows import Window, WindowAxis, pad
from quantseg.quantization.qtypes import INT8, INT32

_FULL_WEIGHT = 127
MOST_TAPS = 25
"""Most pixels in the window of an average that is written as a depthwise convolution: kernels are made for 9 and 25."""


def max_pool(editor: Editor, node: ir.Node) -> None:
    """MaxPool without indices. Padding that LiteRT does not know is the lowest number, written before."""
    if any(indices.uses() or indices.is_graph_output() for indices in node.outputs[1:]):
        raise refused(node, "its indices are read, LiteRT's pool has none")
    integer, size = editor.is_integer(node), ints(node, "kernel_shape", ())
    window = Window.of(editor, node, size)
    if any(step != 1 for step in ints(node, "dilations", (1, 1))):
        raise refused(node, "is dilated, LiteRT's pool is not")
    source = editor.read(node.inputs[0], NHWC, integer=integer)
    source, padding = window.padded(editor, source, lowest=True)
    result = editor.result(node.outputs[0], NHWC, integer=integer)
    _pool(editor, "MAX_POOL_2D", (source, result), window, size, padding)


def average_pool(editor: Editor, node: ir.Node) -> None:
    """AveragePool. In integers a small window is a depthwise convolution of equal weights, which is rounded once."""
    integer, size = editor.is_integer(node), ints(node, "kernel_shape", ())
    window = Window.of(editor, node, size)
    counted = bool(node.attributes.get_int("count_include_pad", 0)) or not window.is_padded
    if not counted and window.padding != SAME:
        _uncounted(editor, node, window, size)
        return
    source = editor.read(node.inputs[0], NHWC, integer=integer)
    padding = VALID
    if counted:
        source, padding = _counted(editor, source, window, as_product=integer and size[0] * size[1] <= MOST_TAPS)
    result = editor.result(node.outputs[0], NHWC, integer=integer)
    if not integer:
        _pool(editor, "AVERAGE_POOL_2D", (source, result), window, size, padding if counted else SAME)
    elif counted and size[0] * size[1] <= MOST_TAPS:
        _as_depthwise(editor, source, result, window, size, padding)
    else:
        alike = source.params == result.params
        made = result if alike else editor.like(result, f"{result.name}_before", params=source.params)
        _pool(editor, "AVERAGE_POOL_2D", (source, made), window, size, padding if counted else SAME)
        if not alike:
            editor.insert("QUANTIZE", [made], result)


def _uncounted(editor: Editor, node: ir.Node, window: Window, size: Sequence[int]) -> None:
    """An average that leaves out padding as LiteRT's does not: in float, that with padding times a constant image."""
    source, padding = window.padded(editor, editor.read(node.inputs[0], NHWC, integer=False))
    output = node.outputs[0]
    shape = physical(editor.shape(output), NHWC)
    averages = Tensor(editor.name(f"{output.name}_with_padding"), shape, "float32")
    _pool(editor, "AVERAGE_POOL_2D", (source, averages), window, size, padding)
    counts = [_inside(axis) for axis in (window.rows, window.columns)]
    factors = (size[0] * size[1] / np.multiply.outer(*counts)).astype(np.float32)[None, :, :, None]
    made = Tensor(editor.name(f"{output.name}_without_padding"), shape, "float32")
    editor.insert("MUL", [averages, editor.constant(factors)], made, {"fused_activation_function": NONE})
    editor.put(output, PlacedTensor(made, NHWC), stored=False)


def _inside(axis: WindowAxis) -> np.ndarray:
    """How many pixels of the image each window of an axis holds."""
    first = np.arange(axis.given) * axis.stride - axis.before
    return np.minimum(first + axis.window, axis.size) - np.maximum(first, 0)


def _counted(editor: Editor, source: Tensor, window: Window, *, as_product: bool) -> tuple[Tensor, int]:
    """The image with its padding, which the average counts; a convolution counts zeros by itself."""
    if not window.is_padded:
        return source, VALID
    if as_product:
        return window.padded(editor, source)
    rows, columns = window.rows, window.columns
    widths = [(0, 0), (rows.before, rows.after), (columns.before, columns.after), (0, 0)]
    return pad(editor, source, widths), VALID


def _as_depthwise(
    editor: Editor, source: Tensor, result: Tensor, window: Window, size: Sequence[int], padding: int
) -> None:
    channels = source.shape[3]
    assert source.params is not None
    scale = np.full(channels, 1 / (_FULL_WEIGHT * size[0] * size[1]), np.float32)
    weight = QuantParams(scale, np.zeros(channels, np.int8), INT8, 3)
    bias = QuantParams((scale * source.params.scale).astype(np.float32), np.zeros(channels, np.int32), INT32, 0)
    operands = [
        editor.constant(np.full((1, *size, channels), _FULL_WEIGHT, np.int8), weight),
        editor.constant(np.zeros(channels, np.int32), bias),
    ]
    options = {**window.options(padding), "depth_multiplier": 1, "fused_activation_function": NONE}
    editor.insert("DEPTHWISE_CONV_2D", [source, *operands], result, options)


def _pool(
    editor: Editor, kind: str, ends: tuple[Tensor, Tensor], window: Window, size: Sequence[int], padding: int
) -> None:
    """ends: what is pooled, and the result."""
    source, result = ends
    shape = {"filter_height": size[0], "filter_width": size[1], "fused_activation_function": NONE}
    editor.insert(kind, [source], result, {**window.options(padding), **shape})


def over_pixels(kind: str) -> Callable[[Editor, ir.Node], None]:
    """The writer of GlobalAveragePool and GlobalMaxPool."""

    def write(editor: Editor, node: ir.Node) -> None:
        axes = tuple(range(2, len(editor.shape(node.inputs[0]))))
        _reduced(editor, node, kind, axes, keep=True)

    return write


def reduction(kind: str) -> Callable[[Editor, ir.Node], None]:
    """The writer of a Reduce operator."""

    def write(editor: Editor, node: ir.Node) -> None:
        rank = len(editor.shape(node.inputs[0]))
        axes = axes_of(node, 1) or tuple(range(rank))
        _reduced(editor, node, kind, axes, keep=bool(node.attributes.get_int("keepdims", 1)))

    return write


def _reduced(editor: Editor, node: ir.Node, kind: str, axes: Sequence[int], *, keep: bool) -> None:
    integer = editor.is_integer(node)
    source = editor.at_hand(node.inputs[0], integer=integer)
    places = editor.ints(sorted(source.axis(axis) for axis in axes))
    order = source.order if keep else without(source, axes)
    result = editor.result(node.outputs[0], order, integer=integer)
    if integer and kind != "MEAN":  # maxima stay on the grid that they are on
        assert result.params == source.tensor.params
    editor.insert(kind, [source.tensor, places], result, {"keep_dims": keep})


def without(source: PlacedTensor, axes: Sequence[int]) -> tuple[int, ...]:
    """The order of the logical axes that are left once some are gone."""
    rank = len(source.order)
    gone = {axis % rank for axis in axes}
    left = [axis for axis in plain(rank) if axis not in gone]
    return tuple(left.index(axis) for axis in source.order if axis not in gone)
