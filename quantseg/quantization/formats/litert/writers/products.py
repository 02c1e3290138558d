"""Convolutions and matrix products."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.files.tflite.schema import NONE, SAME, VALID
from quantseg.graph.passes.conv_transpose_axes import NotLowered, spatial_axes
from quantseg.graph.passes.subpixel import Axis
from quantseg.quantization.affine import F32, QuantParams, quantize
from quantseg.quantization.formats.litert.editor import Editor
from quantseg.quantization.formats.litert.layout import NHWC, physical, plain
from quantseg.quantization.formats.litert.network import Tensor
from quantseg.quantization.formats.litert.writers.attributes import numbers, refused
from quantseg.quantization.formats.litert.writers.windows import Window
from quantseg.quantization.plan import bias_params
from quantseg.quantization.qtypes import INT8, INT32

MOST_DENSE = 1 << 22
"""Most weights of a grouped ConvTranspose that is written as one dense weight."""


def convolution(editor: Editor, node: ir.Node) -> None:
    """Conv: CONV_2D, also of several groups, or DEPTHWISE_CONV_2D. Weights (O, I/g, h, w) become (O, h, w, I/g)."""
    weight, bias = _weights(node)
    window = Window.of(editor, node, weight.shape[2:])
    groups, inputs = node.attributes.get_int("group", 1), editor.shape(node.inputs[0])[1]
    source = editor.read(node.inputs[0], NHWC, integer=editor.is_integer(node))
    source, padding = window.padded(editor, source)
    options = {**window.options(padding), **window.dilations, "fused_activation_function": NONE}
    result = editor.result(node.outputs[0], NHWC, integer=editor.is_integer(node))
    if groups == inputs and groups > 1:
        options["depth_multiplier"] = weight.shape[0] // groups
        operands = _operands(editor, node, weight.transpose(1, 2, 3, 0), bias, source, axis=3)
        editor.insert("DEPTHWISE_CONV_2D", [source, *operands], result, options)
        return
    operands = _operands(editor, node, weight.transpose(0, 2, 3, 1), bias, source, axis=0)
    editor.insert("CONV_2D", [source, *operands], result, options)


def transposed_convolution(editor: Editor, node: ir.Node) -> None:
    """ConvTranspose: TRANSPOSE_CONV, cropped by a SLICE where its padding is neither SAME nor VALID."""
    weight, bias = _weights(node)
    integer = editor.is_integer(node)
    try:
        axes = spatial_axes(node, weight.shape)
    except NotLowered as reason:
        raise refused(node, str(reason)) from reason
    source = editor.read(node.inputs[0], NHWC, integer=integer)
    given = physical(editor.shape(node.outputs[0]), NHWC)
    same = all(_pads_as_same(axis, *sizes) for axis, sizes in zip(axes, _sizes(source, given), strict=True))
    cropped = not same and any(axis.pad_begin or axis.pad_end for axis in axes)
    whole = given
    if cropped:
        pairs = zip(axes, _sizes(source, given), strict=True)
        full = [max(one.stride * (size - 1) + one.kernel, one.pad_begin + out) for one, (size, out) in pairs]
        whole = (given[0], *full, given[3])
    kernel = _dense(node, weight).transpose(1, 2, 3, 0)
    operands = _operands(editor, node, kernel, bias, source, axis=0)
    result = editor.result(node.outputs[0], NHWC, integer=integer)
    options = {"padding": SAME if same else VALID, "stride_w": axes[1].stride, "stride_h": axes[0].stride}
    made = editor.like(result, f"{result.name}_whole", shape=whole) if cropped else result
    editor.insert("TRANSPOSE_CONV", [editor.ints(whole), operands[0], source, operands[1]], made, options)
    if cropped:
        begin = editor.ints((0, axes[0].pad_begin, axes[1].pad_begin, 0))
        editor.insert("SLICE", [made, begin, editor.ints(given)], result)


def gemm(editor: Editor, node: ir.Node) -> None:
    """Gemm with a constant second matrix: FULLY_CONNECTED, weights (outputs, inputs)."""
    weight, bias = _weights(node)
    integer = editor.is_integer(node)
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    if bias is not None and bias.size != bias.shape[-1]:
        raise refused(node, "its bias differs from row to row")
    turned = node.attributes.get_int("transB", 0) != 0
    kernel = weight if turned else weight.T
    order = (1, 0) if node.attributes.get_int("transA", 0) else (0, 1)
    source = editor.read(node.inputs[0], order, integer=integer)
    if not integer:
        kernel = np.asarray(kernel * np.float32(alpha), np.float32)
        bias = None if bias is None else np.asarray(bias * np.float32(beta), np.float32)
    full = None if bias is None else np.broadcast_to(bias.reshape(-1), (len(kernel),))
    operands = _operands(editor, node, kernel, full, source, axis=0)
    result = editor.result(node.outputs[0], plain(2), integer=integer)
    editor.insert("FULLY_CONNECTED", [source, *operands], result, {"keep_num_dims": True})


def matmul(editor: Editor, node: ir.Node) -> None:
    """MatMul: FULLY_CONNECTED with a constant matrix, else BATCH_MATMUL."""
    integer = editor.is_integer(node)
    left, right = node.inputs
    assert right is not None
    ranks = [len(editor.shape(value)) for value in (left, right)]
    if min(ranks) < 2:
        raise refused(node, "multiplies a vector, which LiteRT's has no form for")
    source = editor.read(left, plain(ranks[0]), integer=integer)
    result = editor.result(node.outputs[0], plain(len(editor.shape(node.outputs[0]))), integer=integer)
    if right.const_value is not None and ranks[1] == 2:
        kernel = np.asarray(right.const_value.numpy(), np.float32).T
        operands = _operands(editor, node, kernel, None, source, axis=0)
        editor.insert("FULLY_CONNECTED", [source, *operands], result, {"keep_num_dims": True})
        return
    if integer and right.const_value is not None:
        grid = _int8(node, editor)
        other = editor.constant(quantize(np.asarray(right.const_value.numpy(), np.float32), grid), grid)
    else:
        other = editor.read(right, plain(ranks[1]), integer=integer)
    editor.insert("BATCH_MATMUL", [source, other], result)


def _weights(node: ir.Node) -> tuple[F32, F32 | None]:
    """Weight and bias. Raises ModelError for those that are computed at run time."""
    weight, bias = numbers(node, 1), numbers(node, 2)
    assert weight is not None
    if weight.dtype != np.float32:
        raise refused(node, f"its weights are {weight.dtype.name}", "export the model in float32")
    return weight, bias


def _int8(node: ir.Node, editor: Editor) -> QuantParams:
    """The grid of the node's weight. Raises ModelError for weights that are not symmetric int8."""
    assert editor.plan is not None
    grid = editor.plan.weights[str(node.name)]
    if grid.qtype is not INT8 or grid.zero_point.any():
        raise ModelError(f"{node.name}: LiteRT takes symmetric int8 weights, not {grid.qtype.name}; leave the type out")
    return grid


def _operands(
    editor: Editor, node: ir.Node, kernel: F32, bias: F32 | None, source: Tensor, *, axis: int
) -> tuple[Tensor, Tensor]:
    """Weight and bias as constants. kernel: in LiteRT's order, output channels on `axis`. A missing bias is zero.

    In integers each output channel has a scale of its own, and the bias has scale S_x·S_w.
    """
    outputs = kernel.shape[axis]
    plain_bias = np.zeros(outputs, np.float32) if bias is None else np.asarray(bias, np.float32).reshape(-1)
    if not editor.is_integer(node):
        return editor.constant(kernel), editor.constant(plain_bias)
    given = _int8(node, editor)
    assert source.params is not None
    scale = np.broadcast_to(given.scale.reshape(-1), (outputs,)).astype(np.float32)
    grid = QuantParams(scale, np.zeros(outputs, np.int8), INT8, axis)
    of_bias = bias_params(source.params, QuantParams(scale, grid.zero_point, INT8, 0))
    stored: NDArray[np.integer] = quantize(plain_bias, of_bias)
    assert of_bias.qtype is INT32
    return editor.constant(quantize(kernel, grid), grid), editor.constant(stored, of_bias)


def _sizes(source: Tensor, given: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(input, output) pixels of rows and of columns of NHWC tensors."""
    return (source.shape[1], given[1]), (source.shape[2], given[2])


def _pads_as_same(axis: Axis, size: int, given: int) -> bool:
    """Whether SAME crops what this axis crops; see Axis of the sub-pixel rewrite."""
    total = (size - 1) * axis.stride + axis.kernel - given
    return size == -(-given // axis.stride) and total >= 0 and axis.pad_begin == total // 2


def _dense(node: ir.Node, weight: F32) -> F32:
    """The weight (I, O/g, h, w) of a ConvTranspose as that of one group, (I, O, h, w)."""
    groups = node.attributes.get_int("group", 1)
    if groups == 1:
        return weight
    inputs, each = weight.shape[0] // groups, weight.shape[1]
    if weight.size * groups > MOST_DENSE:
        raise refused(node, f"has {groups} groups, which LiteRT's has not", "keep it small or leave out the groups")
    dense = np.zeros((weight.shape[0], groups * each, *weight.shape[2:]), np.float32)
    for group in range(groups):
        rows = slice(group * inputs, (group + 1) * inputs)
        dense[rows, group * each : (group + 1) * each] = weight[rows]
    return dense
