"""The global average of integers as each of onnxruntime's kernels computes it.

    q = (Σ (q_x − Z_x))·r + Z_y,      r = S_x/(S_y · count) in float32

They differ where a result lies half way, or all but. Source: MLAS, qlgavgpool.cpp.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from quantseg.affine import F32, Ints
from quantseg.simulator.rounding import saturated

Average = Callable[[NDArray[np.int64], F32, Ints], Ints]
"""Sums without their zero-points, r, and the result's zero-point; gives integers."""


def average_ratio(s_x: F32, s_y: F32, count: int) -> F32:
    """r, as every kernel holds it."""
    return np.asarray(s_x / (s_y * np.float32(count)), np.float32)


def single_average(total: NDArray[np.int64], ratio: F32, z_y: Ints) -> Ints:
    """x86 and WebAssembly: a float32 product, rounded to even; then Z_y."""
    return saturated(np.rint(total.astype(np.float32) * ratio), z_y)


def exact_average(total: NDArray[np.int64], ratio: F32, z_y: Ints) -> Ints:
    """NEON: the sum times all 24 bits of r, shifted with halves away from zero; then Z_y."""
    mantissa, exponent = np.frexp(ratio)
    shift = 24 - int(exponent)
    product = total * int(np.ldexp(mantissa, 24))
    return saturated((product - (total < 0) + (1 << (shift - 1))) >> shift, z_y)


AVERAGES: Mapping[str, Average] = {"single": single_average, "exact": exact_average}
"""How a processor's QLinearGlobalAveragePool computes."""
