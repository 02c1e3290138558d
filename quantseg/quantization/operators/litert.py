"""Rules for LiteRT's integer kernels, where they differ from those for onnxruntime's.

LiteRT has kernels for more operators, and some of its kernels write one grid alone.
Source: LiteRT, "8-bit quantization specification".
"""

import math
from collections.abc import Callable, Mapping

import onnx_ir as ir

from quantseg.graph.edit import static_shape
from quantseg.quantization.affine import Range
from quantseg.quantization.operators.activation import FEW_IN_SOFTMAX
from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind
from quantseg.quantization.operators.product import constant_operands

ONTO_UNIT = Range(0.0, 255 / 256)
"""Of LOGISTIC and SOFTMAX, whose kernels write scale 1/256 and zero-point −128."""
ONTO_SIGNED_UNIT = Range(-1.0, 127 / 128)
"""Of TANH, whose kernel writes scale 1/128 and zero-point 0."""


FEW_CHANNELS, MANY_PIXELS = 4, 1 << 14
"""Convolutions from and to so few channels take up to three times as long in XNNPACK's integers as in float: at 320x320
pixels, 3x3 taps and 2 channels, 0.98 ms beside 0.35 ms (LiteRT 2.3, AVX-512 VNNI)."""


def convolution(node: ir.Node) -> IntegerForm | KeptFloat:
    """Conv: weights (M, C/group, k…), per-channel on axis 0; float where it has hardly any channels and many pixels."""
    shapes = [static_shape(value) for value in (node.inputs[0], node.outputs[0])]
    if all(s is not None and s[1] <= FEW_CHANNELS and math.prod(s[2:]) >= MANY_PIXELS for s in shapes):
        return KeptFloat(f"Conv: at most {FEW_CHANNELS} channels, which XNNPACK computes faster in float")
    return constant_operands(node, weight_axis=0)


def transposed_convolution(node: ir.Node) -> IntegerForm | KeptFloat:
    """ConvTranspose: weights (C, M/group, k…), per-channel on axis 1; per tensor in groups."""
    if "dilations" in node.attributes and set(node.attributes["dilations"].as_ints()) != {1}:
        return KeptFloat("ConvTranspose: LiteRT's has no dilation")
    return constant_operands(node, weight_axis=1 if node.attributes.get_int("group", 1) == 1 else None)


def sigmoid(node: ir.Node) -> IntegerForm:
    """Sigmoid."""
    return IntegerForm(Kind.ARITHMETIC, fixed=ONTO_UNIT)


def tanh(node: ir.Node) -> IntegerForm:
    """Tanh."""
    return IntegerForm(Kind.ARITHMETIC, fixed=ONTO_SIGNED_UNIT)


def softmax(node: ir.Node) -> IntegerForm | KeptFloat:
    """Softmax over few elements: over many, each is smaller than a step of its grid."""
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    size = None if shape is None else shape[node.attributes.get_int("axis", -1)]
    if not isinstance(size, int) or size > FEW_IN_SOFTMAX:
        return KeptFloat(
            f"Softmax: over more than {FEW_IN_SOFTMAX} elements, which the grid of LiteRT's is too wide for"
        )
    return IntegerForm(Kind.ARITHMETIC, fixed=ONTO_UNIT)


def unary(node: ir.Node) -> IntegerForm:
    """HardSwish, with a grid of its own."""
    return IntegerForm(Kind.ARITHMETIC)


def prelu(node: ir.Node) -> IntegerForm | KeptFloat:
    """PRelu with constant slopes, which have a grid of their own."""
    slopes = node.inputs[1]
    if slopes is None or slopes.const_value is None:
        return KeptFloat("PRelu: its slopes are computed at run time")
    return IntegerForm(Kind.ARITHMETIC, data=(0, 1))


def mean(node: ir.Node) -> IntegerForm:
    """ReduceMean."""
    return IntegerForm(Kind.ARITHMETIC)


def resize(node: ir.Node) -> IntegerForm | KeptFloat:
    """Resize: nearest copies values, linear averages them within their range; cubic overshoots it and stays float."""
    mode = node.attributes.get_string("mode", "nearest")
    if mode == "nearest":
        return IntegerForm(Kind.MOVEMENT)
    if mode == "linear":
        return IntegerForm(Kind.INTERPOLATION)
    return KeptFloat(f"Resize: {mode} interpolation overshoots the range of its input")


RULES: Mapping[str, Callable[[ir.Node], IntegerForm | KeptFloat]] = {
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "HardSwish": unary,
    "PRelu": prelu,
    "ReduceMean": mean,
    "Resize": resize,
    "Sigmoid": sigmoid,
    "Softmax": softmax,
    "Tanh": tanh,
}
"""Operator → its rule, in place of the one in the table for all."""
