"""Where integer products have their operands: places among the inputs, by operator.

Source: ONNX's operator documentation, and onnxruntime's ContribOperators.md for QGemm. QLinearConvTranspose, which
neither has, is laid out like QLinearConv.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Places:
    """The second factor, its zero-point, and the int32 bias; bias is None where there is none."""

    weight: int
    zero_point: int
    bias: int | None = None


PRODUCTS: Mapping[str, Places] = {
    "ConvInteger": Places(1, 3),
    "MatMulInteger": Places(1, 3),
    "QGemm": Places(3, 5, 6),
    "QLinearConv": Places(3, 5, 8),
    "QLinearConvTranspose": Places(3, 5, 8),
    "QLinearMatMul": Places(3, 5),
}
"""Operators with int32 accumulators."""

CONVOLUTIONS = frozenset({"ConvInteger", "QLinearConv"})
"""Products with a kernel that moves over the image; the transposed one is apart, as its pixels spread."""
