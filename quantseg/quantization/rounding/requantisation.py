"""Requantisation: from an int32 accumulator, whose scale is the product of the operands', to the result's grid.

    q = clip(round(a · M) + Z, qmin, qmax),   M = S_1 · S_2 · … / S_y

Runtimes differ in how they represent M and how they round, so results may differ by one step. Each way is a function
from accumulators and M to rounded integers. Sources: onnxruntime's MLAS (quantize.cpp); Jacob et al.,
arXiv:1712.05877, section 2.2, gemmlowp's fixedpoint.h and TensorFlow Lite's reference kernels; exact arithmetic.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import PlanError
from quantseg.quantization.affine import F32, Ints

Array = NDArray[Any]


@dataclass(frozen=True)
class Ratio:
    """M: a product of scales over another. Each scale is float32 and broadcasts against the accumulator."""

    numerators: tuple[F32, ...]
    denominators: tuple[F32, ...]

    @property
    def single(self) -> F32:
        """M in float32, multiplied from left to right and divided once, as in onnxruntime's kernels."""
        over = functools.reduce(np.multiply, self.denominators)
        return np.asarray(functools.reduce(np.multiply, self.numerators) / over, np.float32)

    @property
    def double(self) -> NDArray[np.float64]:
        """M in float64."""
        above, below = (
            functools.reduce(np.multiply, [np.asarray(part, np.float64) for part in parts])
            for parts in (self.numerators, self.denominators)
        )
        return np.asarray(above / below)

    def exact_at(self, where: tuple[int, ...], shape: tuple[int, ...]) -> Fraction:
        """M for one element of an accumulator of this shape, as an exact rational number."""
        value = Fraction(1)
        for part in self.numerators:
            value *= Fraction(float(np.broadcast_to(part, shape)[where]))
        for part in self.denominators:
            value /= Fraction(float(np.broadcast_to(part, shape)[where]))
        return value


def _single_precision(accumulator: Array, ratio: Ratio) -> Array:
    """round(float32(a) · float32(M)), ties to even."""
    single = accumulator if accumulator.dtype == np.float32 else accumulator.astype(np.float32)
    scaled = np.asarray(single * ratio.single)
    return np.rint(scaled, out=scaled)


def fixed_point(multiplier: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A 32-bit multiplier q and a right shift s with M = q · 2^−31 · 2^−s, 2^30 ≤ q < 2^31.

    Raises PlanError where M is not positive and finite, or |s| > 31, which no such kernel supports.
    """
    if not (np.isfinite(multiplier) & (multiplier > 0)).all():
        raise PlanError("a ratio of scales is not a positive number; fixed-point kernels cannot multiply by it")
    mantissa, exponent = np.frexp(multiplier)
    fixed = np.floor(mantissa * (1 << 31) + 0.5).astype(np.int64)  # as TFLite: ties away from zero
    full = fixed == 1 << 31
    shift = -(exponent.astype(np.int64) + full)
    if (np.abs(shift) > 31).any():
        raise PlanError("a ratio of scales is beyond 2^31; fixed-point kernels shift by at most 31 bits")
    return np.where(full, fixed >> 1, fixed), shift


def doubling_high_multiply(accumulator: NDArray[np.int64], multiplier: NDArray[np.int64]) -> NDArray[np.int64]:
    """(a · q + 2^30) / 2^31, rounded as gemmlowp's SaturatingRoundingDoublingHighMul: ties up."""
    product = accumulator * multiplier
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    return np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31))  # C++ divides towards zero


def shift_half_away(value: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """value / 2^shift, ties away from zero (gemmlowp's RoundingDivideByPOT)."""
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    rounded: NDArray[np.int64] = np.sign(value) * ((np.abs(value) + half) >> shift)
    return rounded


def shift_half_even(value: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """value / 2^shift, ties to even."""
    floor = value >> shift
    rest, half = value - (floor << shift), np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 1)
    up: NDArray[np.bool_] = (rest > half) | ((rest == half) & (floor & 1 == 1) & (shift > 0))
    return floor + up


def _gemmlowp(accumulator: Array, ratio: Ratio) -> Array:
    multiplier, shift = fixed_point(ratio.double)
    wide = np.clip(accumulator.astype(np.int64) << np.maximum(-shift, 0), -(1 << 31), (1 << 31) - 1)
    return shift_half_away(doubling_high_multiply(wide, multiplier), np.maximum(shift, 0))


def _fixed(accumulator: Array, ratio: Ratio, shifted: Callable[[Any, Any], Any]) -> Array:
    multiplier, shift = fixed_point(ratio.double)
    return np.asarray(shifted(accumulator.astype(np.int64) * multiplier, 31 + shift))


def _half_away(accumulator: Array, ratio: Ratio) -> Array:
    return _fixed(accumulator, ratio, shift_half_away)


def _half_even(accumulator: Array, ratio: Ratio) -> Array:
    return _fixed(accumulator, ratio, shift_half_even)


def _exact(accumulator: Array, ratio: Ratio) -> Array:
    """Exact rounding, ties to even: in float64, and in rational arithmetic where float64 cannot decide a tie."""
    scaled = accumulator.astype(np.float64) * ratio.double
    rounded = np.rint(scaled)
    near = np.abs(np.abs(scaled - np.floor(scaled)) - 0.5) <= 8 * np.finfo(np.float64).eps * (np.abs(scaled) + 1)
    for where in map(tuple, np.argwhere(near)):
        rounded[where] = round(int(accumulator[where]) * ratio.exact_at(where, scaled.shape))
    return rounded


CHANNELS_LAST = "onnxruntime-channels-last"

ROUNDINGS: Mapping[str, Callable[[Array, Ratio], Array]] = {
    "onnxruntime": _single_precision,
    CHANNELS_LAST: _single_precision,
    "gemmlowp": _gemmlowp,
    "half-away": _half_away,
    "half-even": _half_even,
    "exact": _exact,
}
"""Name → a way to requantise.

onnxruntime: a float32 multiplier, ties to even. onnxruntime-channels-last: the same, with the kernels that onnxruntime
uses after its NHWC transformation (linear Resize of integers, the order of operands in Add). gemmlowp: a 32-bit
fixed-point multiplier, rounding of the product's high half, then a rounding shift, as in TensorFlow Lite and CMSIS-NN.
half-away, half-even: such a multiplier and one rounding shift of the 64-bit product. exact: rational M, ties to even.
"""


def check(rounding: str) -> None:
    """Raises PlanError for an unknown way to requantise."""
    if rounding not in ROUNDINGS:
        raise PlanError(f"{rounding!r} is no rounding; choose one of {', '.join(ROUNDINGS)}")


def requantised(accumulator: Array, ratio: Ratio, zero_point: Ints, rounding: str) -> Ints:
    """The accumulator requantised. accumulator: integers of any dtype. zero_point: the result's, and of its type."""
    rounded = ROUNDINGS[rounding](accumulator, ratio)
    return saturated(rounded, zero_point)


def held(rounded: Array, zero_point: Ints) -> Ints:
    """Rounded numbers that include Z already, clamped to the limits of its type."""
    info = np.iinfo(zero_point.dtype)
    stored: Ints = np.clip(rounded, info.min, info.max).astype(zero_point.dtype)
    return stored


def saturated(rounded: Array, zero_point: Ints) -> Ints:
    """clip(rounded + Z, qmin, qmax) in the type of Z. Overwrites the array `rounded`."""
    info, zero = np.iinfo(zero_point.dtype), int(zero_point.reshape(()))
    low, high = (np.asarray(limit - zero, rounded.dtype) for limit in (info.min, info.max))
    held_in = np.clip(rounded, low, high, out=rounded)
    if zero:
        held_in += np.asarray(zero, rounded.dtype)
    return held_in.astype(zero_point.dtype)
