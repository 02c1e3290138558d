"""QLinearAdd and QLinearMul as each of onnxruntime's kernels computes them.

    Add: q = (q_a − Z_a)·r_a + (q_b − Z_b)·r_b + Z_y,     r_a = S_a/S_y, r_b = S_b/S_y in float32
    Mul: q = (q_a − Z_a)(q_b − Z_b)·r + Z_y,              r = S_a·S_b/S_y in float32

They differ where a result lies half way, or all but. With Z_y in before rounding an odd Z_y sends halves the other way.
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
"""Integers a and b of one shape, their scales and that of the sum, the zero-points, and whether b is one number that a
kernel adds to many; gives the sum's integers."""


Multiplier = Callable[[Whole, Whole, tuple[F32, F32, F32], Ints], Ints]
"""Integers a and b without their zero-points, their scales and that of the product, its zero-point; gives integers."""


def _ratios(scales: tuple[F32, F32, F32]) -> tuple[F32, F32]:
    s_a, s_b, s_y = scales
    return np.asarray(s_a / s_y, np.float32), np.asarray(s_b / s_y, np.float32)


def fused_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """AVX2 and later: the constant part first, then two fused multiply-adds, rounded to even with Z_y in.

    That the constant is fused as well is the compiler's doing, and was found by trying.
    """
    (r_a, r_b), (z_a, z_b, z_y) = _ratios(scales), zeros
    zero = np.float32(int(z_y)) - fused(np.asarray(int(z_a)), r_a, np.asarray(np.float32(int(z_b)) * r_b))
    found = np.rint(fused(a.astype(np.int64), r_a, fused(b.astype(np.int64), r_b, np.asarray(zero))))
    return held(found, z_y)


def separate_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """SSE: as AVX2, each product and each sum rounded to float32. One number for many is added to the constant."""
    (r_a, r_b), (z_a, z_b, z_y) = _ratios(scales), zeros
    zero = np.float32(int(z_y)) - (r_a * np.float32(int(z_a)) + r_b * np.float32(int(z_b)))
    left, right = a.astype(np.float32) * r_a, b.astype(np.float32) * r_b
    return held(np.rint((zero + right) + left if scalar else (zero + left) + right), z_y)


def real_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """WebAssembly: plain C++, the real values added and divided by S_y, held, rounded to even with Z_y in."""
    (s_a, s_b, s_y), (z_a, z_b, z_y) = scales, zeros
    left, right = ((each.astype(np.int32) - int(middle)).astype(np.float32) for each, middle in ((a, z_a), (b, z_b)))
    return _held_real(np.asarray((left * s_a + right * s_b) / s_y, np.float32), z_y)


def fused_real_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """The same as the compiler makes it for ARM: the first product is fused with the sum. Found by trying."""
    (s_a, s_b, s_y), (z_a, z_b, z_y) = scales, zeros
    left, right = ((each.astype(np.int32) - int(middle)).astype(np.float32) for each, middle in ((a, z_a), (b, z_b)))
    return _held_real(fused(left, s_a, right * s_b) / s_y, z_y)


def fixed_point_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """NEON: multipliers of 22 bits, one sum in int32, shifted with halves away from zero; then Z_y.

    Where a ratio is below 2^−14 (or negative) or from 2^8 on, or the larger one rounds up to 2^22: `fused_real_sum`.
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
"""How a processor's QLinearAdd computes."""


def _product(a: Whole, b: Whole, scales: tuple[F32, F32, F32]) -> tuple[F32, F32]:
    s_a, s_b, s_y = scales
    return (a * b).astype(np.float32), np.asarray(s_a * s_b / s_y, np.float32)


def single_product(a: Whole, b: Whole, scales: tuple[F32, F32, F32], z_y: Ints) -> Ints:
    """x86: the product of the integers by r, rounded to float32, then Z_y added, rounded to even."""
    product, ratio = _product(a, b, scales)
    return held(np.rint(product * ratio + np.float32(int(z_y))), z_y)


def fused_product(a: Whole, b: Whole, scales: tuple[F32, F32, F32], z_y: Ints) -> Ints:
    """NEON: the same in one fused multiply-add, which is the compiler's doing, and was found by trying."""
    return held(np.rint(fused(*_product(a, b, scales), np.asarray(int(z_y)))), z_y)


def real_product(a: Whole, b: Whole, scales: tuple[F32, F32, F32], z_y: Ints) -> Ints:
    """WebAssembly: plain C++, the real values multiplied and divided by S_y, held, rounded to even with Z_y in."""
    s_a, s_b, s_y = scales
    return _held_real((s_a * a.astype(np.float32)) * (s_b * b.astype(np.float32)) / s_y, z_y)


def _held_real(found: F32, z_y: Ints) -> Ints:
    """A real value in steps, held within its type, then rounded to even with Z_y in."""
    info, zero = np.iinfo(z_y.dtype), np.float32(int(z_y))
    within = np.clip(found, np.float32(info.min) - zero, np.float32(info.max) - zero)
    return held(np.rint(within + zero), z_y)


MULTIPLIERS: Mapping[str, Multiplier] = {"single": single_product, "fused": fused_product, "real": real_product}
"""How a processor's QLinearMul computes."""
