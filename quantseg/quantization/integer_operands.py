"""Input indices of the operands of integer products, by operator.

Source: ONNX's operator documentation, and onnxruntime's ContribOperators.md for QGemm. QLinearConvTranspose, which is
in neither, has the inputs of QLinearConv.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Places:
    """Input indices of the weight (or second factor), its zero-point, and the int32 bias; bias None without one."""

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
"""Convolutions, without the transposed one."""
