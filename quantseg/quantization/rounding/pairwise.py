"""QLinearAdd and QLinearMul as each of onnxruntime's kernels computes them.

    Add: q = (q_a − Z_a)·r_a + (q_b − Z_b)·r_b + Z_y,     r_a = S_a/S_y, r_b = S_b/S_y in float32
    Mul: q = (q_a − Z_a)(q_b − Z_b)·r + Z_y,              r = S_a·S_b/S_y in float32

They differ only where a result is at or very near a tie. Where Z_y is added before rounding to even, an odd Z_y
reverses the direction of ties.
Sources: MLAS, qladd.cpp, qladd_avx2.cpp, qlmul.cpp.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from quantseg.quantization.affine import F32, Ints
from quantseg.quantization.rounding.requantisation import held
from quantseg.quantization.rounding.single import fused

Whole = NDArray[np.int32]
Adder = Callable[[Ints, Ints, tuple[F32, F32, F32], tuple[Ints, Ints, Ints], bool], Ints]
"""(integers a and b of one shape, scales of a, b and the sum, their zero-points, whether b is a scalar operand) →
integers of the sum."""


Multiplier = Callable[[Whole, Whole, tuple[F32, F32, F32], Ints], Ints]
"""(a and b with their zero-points subtracted, scales of a, b and product, its zero-point) → integers of the product."""


def _ratios(scales: tuple[F32, F32, F32]) -> tuple[F32, F32]:
    s_a, s_b, s_y = scales
    return np.asarray(s_a / s_y, np.float32), np.asarray(s_b / s_y, np.float32)


def fused_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """AVX2 and later: the constant term first, then two fused multiply-adds, rounded to even with Z_y included.

    The compiler fuses the constant term as well, which was found by experiment.
    """
    (r_a, r_b), (z_a, z_b, z_y) = _ratios(scales), zeros
    zero = np.float32(int(z_y)) - fused(np.asarray(int(z_a)), r_a, np.asarray(np.float32(int(z_b)) * r_b))
    found = np.rint(fused(a.astype(np.int64), r_a, fused(b.astype(np.int64), r_b, np.asarray(zero))))
    return held(found, z_y)


def separate_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """SSE: as AVX2, but each product and sum rounded to float32. A scalar operand is added to the constant term."""
    (r_a, r_b), (z_a, z_b, z_y) = _ratios(scales), zeros
    zero = np.float32(int(z_y)) - (r_a * np.float32(int(z_a)) + r_b * np.float32(int(z_b)))
    left, right = a.astype(np.float32) * r_a, b.astype(np.float32) * r_b
    return held(np.rint((zero + right) + left if scalar else (zero + left) + right), z_y)


def real_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """WebAssembly: plain C++, the real values added and divided by S_y, clamped, rounded to even with Z_y included."""
    (s_a, s_b, s_y), (z_a, z_b, z_y) = scales, zeros
    left, right = ((each.astype(np.int32) - int(middle)).astype(np.float32) for each, middle in ((a, z_a), (b, z_b)))
    return _held_real(np.asarray((left * s_a + right * s_b) / s_y, np.float32), z_y)


def fused_real_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """`real_sum` as compiled for ARM: the first product is fused with the sum, which was found by experiment."""
    (s_a, s_b, s_y), (z_a, z_b, z_y) = scales, zeros
    left, right = ((each.astype(np.int32) - int(middle)).astype(np.float32) for each, middle in ((a, z_a), (b, z_b)))
    return _held_real(fused(left, s_a, right * s_b) / s_y, z_y)


def fixed_point_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """NEON: 22-bit multipliers, a sum in int32, shifted right with ties away from zero, then Z_y added.

    `fused_real_sum` where a ratio is negative, below 2^−14 or at least 2^8, or the larger multiplier rounds up to 2^22.
    """
    (r_a, r_b), (z_a, z_b, z_y) = _ratios(scales), zeros
    if not all(2.0**-14 <= float(ratio) < 2.0**8 for ratio in (r_a, r_b)):
        return fused_real_sum(a, b, scales, zeros)
    shift = 21 - (int(np.frexp(max(r_a, r_b))[1]) - 1)
    m_a, m_b = (int(np.rint(np.float64(ratio) * 2.0**shift)) for ratio in (r_a, r_b))
    if not 13 <= shift <= 31 or max(m_a, m_b) >= 1 << 22:
        return fused_real_sum(a, b, scales, zeros)
    total = (a.astype(np.int64) - int(z_a)) * m_a + (b.astype(np.int64) - int(z_b)) * m_b
    rounded = (total - (total < 0) + (1 << (shift - 1))) >> shift
    return held(rounded + int(z_y), z_y)


ADDERS: Mapping[str, Adder] = {
    "fused": fused_sum,
    "separate": separate_sum,
    "fixed-point": fixed_point_sum,
    "real": real_sum,
}
"""Name → the arithmetic of a processor's QLinearAdd."""


def _product(a: Whole, b: Whole, scales: tuple[F32, F32, F32]) -> tuple[F32, F32]:
    s_a, s_b, s_y = scales
    return (a * b).astype(np.float32), np.asarray(s_a * s_b / s_y, np.float32)


def single_product(a: Whole, b: Whole, scales: tuple[F32, F32, F32], z_y: Ints) -> Ints:
    """x86: the product of the integers times r, rounded to float32, then Z_y added, rounded to even."""
    product, ratio = _product(a, b, scales)
    return held(np.rint(product * ratio + np.float32(int(z_y))), z_y)


def fused_product(a: Whole, b: Whole, scales: tuple[F32, F32, F32], z_y: Ints) -> Ints:
    """NEON: the same in one fused multiply-add, made by the compiler, which was found by experiment."""
    return held(np.rint(fused(*_product(a, b, scales), np.asarray(int(z_y)))), z_y)


def real_product(a: Whole, b: Whole, scales: tuple[F32, F32, F32], z_y: Ints) -> Ints:
    """WebAssembly: plain C++, real values multiplied, divided by S_y, clamped, rounded to even with Z_y included."""
    s_a, s_b, s_y = scales
    return _held_real((s_a * a.astype(np.float32)) * (s_b * b.astype(np.float32)) / s_y, z_y)


def _held_real(found: F32, z_y: Ints) -> Ints:
    """A real result in steps of S_y, clamped to the type's limits, then rounded to even with Z_y included."""
    info, zero = np.iinfo(z_y.dtype), np.float32(int(z_y))
    within = np.clip(found, np.float32(info.min) - zero, np.float32(info.max) - zero)
    return held(np.rint(within + zero), z_y)


MULTIPLIERS: Mapping[str, Multiplier] = {"single": single_product, "fused": fused_product, "real": real_product}
"""Name → the arithmetic of a processor's QLinearMul."""
