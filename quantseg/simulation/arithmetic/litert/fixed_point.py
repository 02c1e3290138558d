"""Fixed-point arithmetic of LiteRT's reference kernels: a real multiplier as an int32 and a shift, rounded twice.

    x·m ≈ (x·2^left · M) / 2^31, rounded half away from zero, then / 2^right, rounded half away from zero
Sources: gemmlowp, fixedpoint.h; LiteRT, kernels/internal/common.h, quantization_util.cc.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]

_BITS = 31
_LOWEST, _HIGHEST = -(1 << 31), (1 << 31) - 1


def multiplier(real: NDArray[np.float64] | float) -> tuple[Whole, Whole]:
    """M in [2^30, 2^31) and the shift (positive to the left) of each real multiplier ≥ 0: it is M/2^31 · 2^shift."""
    fraction, shift = np.frexp(np.asarray(real, np.float64))
    whole = _half_away(fraction * (1 << _BITS))
    full = whole == (1 << _BITS)
    whole, shift = np.where(full, whole >> 1, whole), np.where(full, shift + 1, shift).astype(np.int64)
    tiny = shift < -_BITS
    return np.where(tiny, 0, whole), np.where(tiny, 0, shift)


def multiplied(x: Whole, by: tuple[Whole, Whole]) -> Whole:
    """x times a multiplier as `multiplier` gives it. x: int32 values."""
    whole, shift = by
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    return divided_by_power(doubling_high_product(wrapped(x * (np.int64(1) << left)), whole), right)


def scaled_once(x: Whole, real: NDArray[np.float64] | float) -> Whole:
    """x times a real multiplier, rounded once, halves upwards, as the kernel of matrix products (ruy) does."""
    whole, shift = multiplier(real)
    total = _BITS - shift
    found: Whole = (x * whole + (np.int64(1) << (total - 1))) >> total
    return found


def scaled(x: Whole, real: NDArray[np.float64] | float) -> Whole:
    """x times a real multiplier, as kernels compute it."""
    return multiplied(x, multiplier(real))


def doubling_high_product(a: Whole, b: Whole | int) -> Whole:
    """The high half of 2·a·b for int32 a and b, rounded half away from zero; SaturatingRoundingDoublingHighMul."""
    product = np.asarray(a, np.int64) * b
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    truncated = np.where(nudged >= 0, nudged >> _BITS, -((-nudged) >> _BITS))
    found: Whole = np.minimum(truncated, _HIGHEST)
    return found


def divided_by_power(x: Whole, exponent: Whole | int) -> Whole:
    """x / 2^exponent, rounded half away from zero; RoundingDivideByPOT."""
    power = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << power) - 1
    threshold = (mask >> 1) + (x < 0)
    found: Whole = (x >> power) + ((x & mask) > threshold)
    return found


def wrapped(x: Whole) -> Whole:
    """x as an int32 holds it."""
    return ((x - _LOWEST) & 0xFFFFFFFF) + _LOWEST


def divided(x: Whole, count: int | Whole) -> Whole:
    """x / count, rounded half away from zero, by C's truncating division."""
    half = np.asarray(count, np.int64) // 2
    return np.where(x > 0, (x + half) // count, -((-x + half) // count))


def rounded(x: NDArray[np.floating]) -> Whole:
    """To whole numbers, half away from zero, as C's round."""
    return _half_away(np.asarray(x, np.float64))


def _half_away(x: NDArray[Any]) -> Whole:
    return np.asarray(np.where(x >= 0, np.floor(x + 0.5), np.ceil(x - 0.5))).astype(np.int64)
