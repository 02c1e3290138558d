"""QLinearAdd as each of onnxruntime's kernels computes it. They differ where a sum lies half way, or all but.

    q = (q_a − Z_a)·r_a + (q_b − Z_b)·r_b + Z_y,     r_a = S_a/S_y, r_b = S_b/S_y in float32

Source: MLAS, qladd.cpp and qladd_avx2.cpp.
"""

from collections.abc import Callable, Mapping

import numpy as np

from quantseg.affine import F32, Ints
from quantseg.simulator.rounding import held
from quantseg.simulator.single import fused

Adder = Callable[[Ints, Ints, tuple[F32, F32, F32], tuple[Ints, Ints, Ints], bool], Ints]
"""Integers a and b of one shape, their scales and that of the sum, the zero-points, and whether b is one number that a
kernel adds to many; gives the sum's integers."""


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
    info, zero = np.iinfo(z_y.dtype), np.float32(int(z_y))
    left, right = (
        scale * (each.astype(np.int32) - int(middle)).astype(np.float32)
        for each, scale, middle in ((a, s_a, z_a), (b, s_b, z_b))
    )
    found = np.clip((left + right) / s_y, np.float32(info.min) - zero, np.float32(info.max) - zero)
    return held(np.rint(found + zero), z_y)


def fixed_point_sum(
    a: Ints, b: Ints, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints], scalar: bool = False
) -> Ints:
    """NEON: multipliers of 22 bits, one sum in int32, shifted with halves away from zero; then Z_y.

    Where a ratio is below 2^−14 or from 2^8 on, or the larger one rounds up to 2^22, the plain C++ of `real_sum`.
    """
    (r_a, r_b), (z_a, z_b, z_y) = _ratios(scales), zeros
    if not all(2.0**-14 <= float(ratio) < 2.0**8 for ratio in (r_a, r_b)):
        return real_sum(a, b, scales, zeros)
    shift = 21 - (int(np.frexp(max(r_a, r_b))[1]) - 1)
    m_a, m_b = (int(np.rint(np.float64(ratio) * 2.0**shift)) for ratio in (r_a, r_b))
    if not 13 <= shift <= 31 or max(m_a, m_b) >= 1 << 22:
        return real_sum(a, b, scales, zeros)
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
