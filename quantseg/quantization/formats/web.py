"""QOperator for onnxruntime-web: some convolutions as ConvInteger, whose sums other operators requantise.

The kernel that requantises the sums of QLinearConv has no SIMD in WebAssembly: 7 ns a value, the time of 200 products.
ConvInteger gives the sums as they are; a Cast and a QuantizeLinear, which are vectorised, requantise them:
    q = round(float(Σ (x − Z_x)·(w − 128) + b) / (S_y / (S_x·S_w))) + Z_y
The weights are stored as uint8, 128 higher: the products of two unsigned operands are the ones with SIMD. With larger
kernels ConvInteger copies its input element by element. Slice and Concat copy rows, so that the input is unfolded by
them, one copy for each tap of the kernel, and the convolution is 1x1 over taps times channels (im2col; Chellapilla,
Puri and Simard, 2006). That pays where the output has many pixels and few channels.
Source: onnxruntime 1.30, mlas/lib/quantize.cpp, qgemm_kernel_wasmsimd.cpp; measured.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from quantseg.quantization.affine import quantize
from quantseg.quantization.formats import qoperator
from quantseg.quantization.formats.editor import GraphEditor, Stored
from quantseg.quantization.plan import bias_params, constant, weight_shape
from quantseg.quantization.qtypes import INT8, UINT8

FUSED, APART, UNFOLDED = "fused", "apart", "unfolded"
"""Variants of a convolution: its sums requantised by its own kernel, or by operators of their own; then a kernel of
more than one tap is computed over the unfolded input."""
_MIDDLE = 128
_END = np.iinfo(np.int64).max
_MOST_TAPS = 25
"""Larger kernels would copy their input too often."""


def variants(node: ir.Node) -> tuple[str, ...]:
    """The variants of a convolution of images, the default first; see Format."""
    if node.op_type != "Conv" or node.attributes.get_int("group", 1) > 1:
        return ()
    shape = weight_shape(node)
    if math.prod(shape[2:]) == 1:
        return FUSED, APART
    pads_by_number = node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    can_unfold = pads_by_number and len(shape) == 4 and math.prod(shape[2:]) <= _MOST_TAPS
    return (FUSED, UNFOLDED) if can_unfold else ()


def emit_node(editor: GraphEditor, node: ir.Node) -> Sequence[Stored]:
    """The node as in QOperator, or a convolution in the plan's variant."""
    if editor.plan.variants.get(str(node.name)) in (APART, UNFOLDED) and node.op_type == "Conv":
        data, weight = editor.params(editor.inputs(node)[0]), editor.plan.weights[str(node.name)]
        if data.qtype is UINT8 and weight.qtype is INT8 and not weight.zero_point.any():
            return [_apart(editor, node)]
    return qoperator.emit_node(editor, node)


def _apart(editor: GraphEditor, node: ir.Node) -> ir.Value:
    """The quantised output of the convolution."""
    data, weight, *rest = editor.inputs(node)
    name, result, params = str(node.name), node.outputs[0], editor.plan.weights[str(node.name)]
    axes = (-1,) + (1,) * (constant(weight).ndim - 2)
    higher = (quantize(constant(weight), params).astype(np.int16) + _MIDDLE).astype(np.uint8)
    integers, own = editor.stored(data), tuple(node.attributes.values())
    if editor.plan.variants[name] == UNFOLDED:
        integers, own = _unfolded(editor, node, data, integers), ()
        higher = higher.transpose(0, 2, 3, 1).reshape(len(higher), -1, 1, 1)
    operands = [integers, editor.constant(f"{name}_weight_quantized", higher), editor.grid(data)[1]]
    middle = editor.constant(f"{name}_weight_zero_point", np.array(_MIDDLE, np.uint8))
    (sums,) = editor.insert("ConvInteger", [*operands, middle], f"{name}_sums", name=name, attributes=own)
    if rest and rest[0] is not None:
        bias = quantize(constant(rest[0]).reshape(-1), bias_params(editor.params(data), params))
        bias_value = editor.constant(f"{name}_bias_quantized", bias.reshape(axes))
        (sums,) = editor.insert("Add", [sums, bias_value], f"{name}_biased")
    to = (ir.AttrInt64("to", ir.DataType.FLOAT.value),)
    (real,) = editor.insert("Cast", [sums], f"{name}_real", attributes=to)
    grid, target = editor.params(result), editor.grid(result)
    step = np.asarray(grid.scale.astype(np.float64) / (float(editor.params(data).scale) * params.scale), np.float32)
    zero = target[1] if step.ndim == 0 else editor.shared(f"{name}_zero_points", np.full(step.shape, grid.zero_point))
    along = (ir.AttrInt64("axis", 1),) if step.ndim else ()
    operands = [real, editor.constant(f"{name}_step", step), zero]
    return editor.insert("QuantizeLinear", operands, f"{result.name}_quantized", attributes=along)[0]


def _unfolded(editor: GraphEditor, node: ir.Node, data: ir.Value | None, integers: ir.Value) -> ir.Value:
    """The input (N, C, H, W) as (N, taps·C, H_out, W_out): under each output pixel what each tap of the kernel reads.

    data, integers: the input, and its integers. Rows and columns are cut from the end, so that open sizes stay open.
    """
    name, sides = str(node.name), weight_shape(node)[2:]
    pads, strides, dilations = (
        [int(number) for number in node.attributes.get_ints(key, default)]
        for key, default in (("pads", (0, 0, 0, 0)), ("strides", (1, 1)), ("dilations", (1, 1)))
    )
    if any(pads):
        widths = _numbers(editor, "pads", [0, 0, *pads[:2], 0, 0, *pads[2:]])
        (integers,) = editor.insert("Pad", [integers, widths, editor.grid(data)[1]], f"{name}_padded")
    axes, steps = _numbers(editor, "axes", [2, 3]), _numbers(editor, "steps", strides)
    copies = []
    for tap in np.ndindex(*sides):
        starts = [place * dilation for place, dilation in zip(tap, dilations, strict=True)]
        left = [(side - 1 - place) * dilation for side, place, dilation in zip(sides, tap, dilations, strict=True)]
        ends = [-beyond if beyond else _END for beyond in left]
        bounds = _numbers(editor, "from", starts), _numbers(editor, "to", ends)
        copies += editor.insert("Slice", [integers, *bounds, axes, steps], f"{name}_tap_{'_'.join(map(str, tap))}")
    along = (ir.AttrInt64("axis", 1),)
    return editor.insert("Concat", copies, f"{name}_unfolded", attributes=along)[0]


def _numbers(editor: GraphEditor, what: str, numbers: Sequence[int]) -> ir.Value:
    name = "_".join([what, *("end" if number == _END else str(number) for number in numbers)])
    return editor.shared(name, np.array(numbers, np.int64))
