"""Affine quantisation, r = S (q − Z): scale and zero-point from a range, and the maps between real and integer.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", arXiv:1712.05877, section 2.1. Some slides print S = (rmax + rmin) / (qmax + qmin), which is a mistake.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import CalibrationError, PlanError
from quantseg.quantization.qtypes import QType

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ints = NDArray[np.integer]


@dataclass(frozen=True)
class Range:
    """An interval of real values, minimum ≤ maximum, both finite. It need not contain zero, but its grid will."""

    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.minimum) and np.isfinite(self.maximum) and self.minimum <= self.maximum):
            raise CalibrationError(f"[{self.minimum}, {self.maximum}] is not a finite range")

    def __or__(self, other: "Range") -> "Range":
        """The smallest range that contains both."""
        return Range(min(self.minimum, other.minimum), max(self.maximum, other.maximum))

    def with_zero(self) -> "Range":
        """The range extended to zero, which every grid must represent exactly (for padding and ReLU)."""
        return Range(min(self.minimum, 0.0), max(self.maximum, 0.0))

    @property
    def width(self) -> float:
        """maximum − minimum, in real units."""
        return self.maximum - self.minimum


@dataclass(frozen=True, eq=False)
class QuantParams:
    """The grid of a tensor: scale, zero-point and integer type.

    scale: float32, shape () or (channels,), positive. zero_point: integers of the type, same shape.
    axis: the tensor's channel axis where scale and zero-point are per channel; None where they are per tensor.
    """

    scale: F32
    zero_point: Ints
    qtype: QType
    axis: int | None = None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, QuantParams)
            and (self.qtype, self.axis) == (other.qtype, other.axis)
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    def __hash__(self) -> int:
        return hash((self.qtype, self.axis, self.scale.tobytes(), self.zero_point.tobytes()))

    @property
    def representable(self) -> Range:
        """The real values from qmin to qmax of a per-tensor grid; values outside saturate."""
        scale, zero = float(self.scale), int(self.zero_point)
        return Range(scale * (self.qtype.qmin - zero), scale * (self.qtype.qmax - zero))


def integer_limits(qtype: QType, *, symmetric: bool, reduced: bool) -> tuple[int, int]:
    """The integers that a range is mapped onto.

    symmetric: a signed type omits its lowest value, so that −r and r are both representable.
    reduced: one bit less, for processors whose u8·s8 pair sums saturate at 16 bits (AVX2 without VNNI).
    For 8 and 16 bits these are onnxruntime's conventions; in symmetric int4 it keeps −8, so that 7 represents less than
    r. Raises PlanError for a reduced range below 8 bits.
    """
    if reduced and qtype.bits < 8:
        raise PlanError(f"{qtype.name}: a reduced range needs at least 8 bits; drop reduce_range=True")
    if reduced:
        half = 1 << (qtype.bits - 2)
        return (-half, half) if qtype.signed else (0, 2 * half - 1)
    if symmetric and qtype.signed:
        return -qtype.qmax, qtype.qmax
    return qtype.qmin, qtype.qmax


def params_per_channel(
    minima: F32, maxima: F32, qtype: QType, *, axis: int | None, symmetric: bool, reduced: bool = False
) -> QuantParams:
    """Scale and zero-point for each [minimum, maximum] pair: S = (rmax − rmin)/(qmax − qmin), Z = round(qmin − rmin/S).

    minima, maxima: real units, shape () or (channels,). Ranges are extended to zero; symmetric ones become [−a, a] with
    Z in the middle of the integers. Where S would not be a normal float32 (a dead channel), S = 1 and Z = 0.
    """
    qmin, qmax = integer_limits(qtype, symmetric=symmetric, reduced=reduced)
    low = np.minimum(minima, np.float32(0)).astype(np.float64)
    high = np.maximum(maxima, np.float32(0)).astype(np.float64)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    scale = (high - low) / (qmax - qmin)
    dead = scale < np.finfo(np.float32).tiny
    scale = np.where(dead, 1.0, scale)
    zero = np.full_like(scale, np.round((qmin + qmax) / 2)) if symmetric else np.round(qmin - low / scale)
    zero = np.where(dead, 0, zero)
    return QuantParams(scale.astype(np.float32), zero.astype(qtype.dtype), qtype, axis)


def params_from_range(span: Range, qtype: QType, *, symmetric: bool = False, reduced: bool = False) -> QuantParams:
    """Per-tensor scale and zero-point for a range of values."""
    low, high = np.float32(span.minimum), np.float32(span.maximum)
    return params_per_channel(np.asarray(low), np.asarray(high), qtype, axis=None, symmetric=symmetric, reduced=reduced)


def params_of_weights(
    weights: F32, qtype: QType, *, axis: int | None, symmetric: bool = True, reduced: bool = False
) -> QuantParams:
    """Scale and zero-point from the extrema of constants: per channel along `axis`, or per tensor where it is None."""
    if axis is None:
        minima, maxima = np.asarray(weights.min(initial=0.0)), np.asarray(weights.max(initial=0.0))
    else:
        rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
        minima, maxima = rows.min(axis=1, initial=0.0), rows.max(axis=1, initial=0.0)
    return params_per_channel(minima, maxima, qtype, axis=axis, symmetric=symmetric, reduced=reduced)


def _along_axis(values: NDArray[Any], params: QuantParams, ndim: int) -> NDArray[Any]:
    """Per-channel values reshaped to broadcast against a tensor of `ndim` axes."""
    if params.axis is None:
        return values
    return values.reshape([-1 if i == params.axis % ndim else 1 for i in range(ndim)])


def quantize(x: F32, params: QuantParams) -> Ints:
    """q = clip(round(x / S) + Z, qmin, qmax), ties to even, as ONNX QuantizeLinear.

    x: real units, any shape; with per-channel parameters, the channels are on `params.axis`.
    """
    scale = _along_axis(params.scale, params, x.ndim)
    zero = _along_axis(params.zero_point, params, x.ndim).astype(np.int64)
    with np.errstate(over="ignore"):  # a quotient beyond float32 is infinite and saturates
        q = np.rint(x / scale).astype(np.float64) + zero
    stored: Ints = np.clip(q, params.qtype.qmin, params.qtype.qmax).astype(params.qtype.dtype)
    return stored


def dequantize(q: Ints, params: QuantParams) -> F32:
    """r = S (q − Z) in float32, as ONNX DequantizeLinear. q: integers of `params.qtype`, any shape."""
    scale = _along_axis(params.scale, params, q.ndim)
    zero = _along_axis(params.zero_point, params, q.ndim)
    return (q.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale.astype(np.float32)
