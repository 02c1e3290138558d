"""Convolutions of pictures: which channels they read and give, and the ways in which onnxruntime's kernels take them.

Channels are numbers that a weight multiplies: unused places get weights of zero, a shuffled order shuffled weights, and
groups become blocks of one dense weight. None of that changes a result.
"""

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.affine import quantize
from quantseg.formats.editor import GraphEditor
from quantseg.formats.pictures import UNUSED, Picture, compact, count_of, filled, is_picture, spread
from quantseg.formats.writer import MICROSOFT, packed
from quantseg.ops import IntegerForm
from quantseg.planning import bias_params, constant

SYMMETRIC, SHIFTED = "symmetric", "shifted"
"""Ways to write a convolution of one group. With zero-point 0 of the weights onnxruntime takes its convolution kernel;
with any other it gathers the windows and takes its matrix product, which alone uses AMX."""
DENSE, GROUPED = "dense", "grouped"
"""Ways to write one of several groups: as blocks of a single group, or as it is."""

READ_BY, GIVEN_BY = 4, 16
"""onnxruntime's convolution kernel takes channels by these numbers; others go through slower ones (convsym.cpp)."""
MOST_DENSE = 1 << 20
"""Input times output channels up to which groups may be written as one; the weights grow with it."""
DENSE_CHANNELS, DENSE_POINTWISE = 64, 48
"""Most channels up to which blocks of one dense weight are faster than groups, and than a depthwise one of 1x1."""


def variants(node: ir.Node) -> tuple[str, ...]:
    """The ways in which a convolution of pictures can be written, the default first."""
    if node.op_type != "Conv" or not is_picture(node.inputs[0]) or not is_picture(node.outputs[0]):
        return ()
    groups = node.attributes.get_int("group", 1)
    if groups == 1:
        return SYMMETRIC, SHIFTED
    channels, outputs = count_of(node.inputs[0]), count_of(node.outputs[0])
    if groups == channels == outputs and not _is_pointwise(node):
        return ()
    if channels * outputs > MOST_DENSE:
        return ()
    pays = max(channels, outputs) <= (DENSE_POINTWISE if groups == channels else DENSE_CHANNELS)
    return (DENSE, GROUPED) if pays else (GROUPED, DENSE)


def emit(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[Picture]:
    """QLinearConv on pictures."""
    way = editor.plan.variants.get(str(node.name)) or (*variants(node), GROUPED)[0]
    data, weight, *rest = editor.inputs(node)
    assert weight is not None
    groups, outputs = node.attributes.get_int("group", 1), count_of(node.outputs[0])
    params = editor.plan.weights[str(node.name)]
    zero = int(params.zero_point.flat[0])
    kernel = quantize(constant(weight), params)
    if groups > 1 and way == GROUPED:
        depthwise = groups == outputs == count_of(data)
        picture = editor.picture(data) if depthwise else compact(editor.channels_last(data), count_of(data))
        given = picture.channels if depthwise else tuple(range(outputs))
        groups = len(given) if depthwise else groups
    else:
        picture = editor.picture(data, filled_up=True)
        given = _given(editor, node, picture, as_read=groups > 1 and groups == outputs == count_of(data))
        kernel, groups = spread(_as_one_group(kernel, groups, zero), picture.channels, 1, zero), 1
    settings = editor.plan.settings
    reduced = settings.reduce_range or bool(settings.reduced_channels_of(str(node.name)))
    wide = params.qtype.signed and not reduced  # one more would not fit 7 bits
    shift = -1 if way == SHIFTED and wide else 0
    scale, zero_point = params.scale, (params.zero_point + shift).astype(params.qtype.dtype)
    if params.axis is not None:
        scale, zero_point = spread(scale, given, 0, 1), np.full(len(given), zero + shift, params.qtype.dtype)
    integers = (spread(kernel, given, 0, zero) + shift).astype(params.qtype.dtype)
    operands = [
        picture.value,
        *editor.grid(data),
        editor.widened(editor.shared(f"{weight.name}_quantized", packed(integers, params.qtype))),
        editor.constant(f"{node.name}_scale", scale),
        editor.zero_point(zero_point),
        *editor.grid(node.outputs[0]),
    ]
    if form.bias is not None:
        bias = quantize(constant(rest[0]).reshape(-1), bias_params(editor.params(data), params))
        operands.append(editor.constant(f"{node.name}_bias_quantized", spread(bias, given, 0, 0)))
    written = editor.stand_in(node, "QLinearConv", operands, domain=MICROSOFT, channels_last=1, group=groups)
    return [Picture(written[0], given)]


def _is_pointwise(node: ir.Node) -> bool:
    weight = node.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    return math.prod(weight.const_value.shape.numpy()[2:]) == 1


def _as_one_group(kernel: NDArray[Any], groups: int, zero: int) -> NDArray[Any]:
    """Weights (M, C/groups, …) as (M, C, …): each block of outputs reads its own channels, and zero of the others."""
    if groups == 1:
        return kernel
    outputs, inputs = kernel.shape[:2]
    whole = np.full((outputs, inputs * groups, *kernel.shape[2:]), zero, kernel.dtype)
    for group, block in enumerate(np.split(kernel, groups)):
        rows = slice(group * len(block), (group + 1) * len(block))
        whole[rows, group * inputs : (group + 1) * inputs] = block
    return whole


def _given(editor: GraphEditor, node: ir.Node, read: Picture, *, as_read: bool) -> tuple[int, ...]:
    """The places that the convolution fills: whole registers, or those in which others expect its channels.

    as_read: whether each channel comes from the one of its number.
    """
    outputs = count_of(node.outputs[0])
    channels = tuple(range(outputs))
    if len(read.channels) % READ_BY:
        return channels  # the fast kernel does not take it, whatever it gives
    if as_read and len(read.channels) >= GIVEN_BY:
        return read.channels
    readers = editor.readers(node.outputs[0])
    shuffled = [reader for reader in readers if reader.op_type == "DepthToSpace"]
    if shuffled and len(readers) == 1:
        return _by_phase(shuffled[0], outputs)
    if outputs >= GIVEN_BY and not outputs % READ_BY and all(reader.op_type == "Concat" for reader in readers):
        return channels
    for reader in readers:
        if reader.op_type in ("Add", "Mul"):
            for other in editor.inputs_of(reader):
                if editor.is_channels_last(other) and count_of(other) == outputs:
                    return editor.picture(other).channels
    return filled(outputs, GIVEN_BY)


def _by_phase(shuffle: ir.Node, outputs: int) -> tuple[int, ...]:
    """Places for a pixel shuffle: those of each phase are alike, so that whole pixels are moved."""
    size = shuffle.attributes["blocksize"].as_int()
    count = outputs // size**2
    if shuffle.attributes.get_string("mode", "DCR") != "DCR":
        return tuple(range(outputs))
    pixel = filled(count, GIVEN_BY // math.gcd(GIVEN_BY, size**2))
    return tuple(c if c == UNUSED else phase * count + c for phase in range(size**2) for c in pixel)
