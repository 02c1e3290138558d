"""QOperator for onnxruntime-web: some 1x1 convolutions as ConvInteger, whose sums other operators requantise.

The kernel that requantises the sums of QLinearConv has no SIMD in WebAssembly: 7 ns a value, the time of 200 products.
ConvInteger gives the sums as they are; a Cast and a QuantizeLinear, which are vectorised, requantise them:
    q = round(float(Σ (x − Z_x)·(w − 128) + b) / (S_y / (S_x·S_w))) + Z_y
The weights are stored as uint8, 128 higher: the products of two unsigned operands are the ones with SIMD. With larger
kernels ConvInteger copies its input slowly, and QLinearConv is faster.
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

FUSED, APART = "fused", "apart"
"""Variants of a 1x1 convolution: its sums requantised by its own kernel, or by operators of their own."""
_MIDDLE = 128


def variants(node: ir.Node) -> tuple[str, ...]:
    """The variants of a convolution of images, the default first; see Format."""
    if node.op_type != "Conv" or node.attributes.get_int("group", 1) > 1 or math.prod(weight_shape(node)[2:]) > 1:
        return ()
    return FUSED, APART


def emit_node(editor: GraphEditor, node: ir.Node) -> Sequence[Stored]:
    """The node as in QOperator, or a convolution in the plan's variant."""
    if editor.plan.variants.get(str(node.name)) == APART and node.op_type == "Conv":
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
    operands = [editor.stored(data), editor.constant(f"{name}_weight_quantized", higher), editor.grid(data)[1]]
    middle = editor.constant(f"{name}_weight_zero_point", np.array(_MIDDLE, np.uint8))
    own = tuple(node.attributes.values())
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
