"""float32 arithmetic as in the kernels for x86-64, bit for bit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.quantization.affine import F32

Array = NDArray[Any]


def fused(a: Array, b: Array, c: Array) -> F32:
    """a · b + c, rounded to float32 once, as a fused multiply-add. a, b, c: float32, or integers below 2^24."""
    product = a.astype(np.float64) * b.astype(np.float64)  # exact: 24 + 24 bits
    wide = c.astype(np.float64)
    total = np.asarray(product + wide)
    shared = total - product
    lost = (product - (total - shared)) + (wide - shared)  # rounding error of the float64 sum (Knuth, TAOCP 2, 4.2.2)
    halfway = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000  # a tie between two float32: the error decides
    towards = np.nextafter(total, np.where(lost > 0, np.inf, -np.inf))
    return np.asarray(np.where(halfway & (lost != 0), towards, total), np.float32)


_NUMERATOR = (4.37031012579801e-11, 1.15627324459942e-07, 6.08574864600143e-05, 8.51377133304701e-03,
              2.48287947061529e-01)  # fmt: skip
_DENOMINATOR = (6.10247389755681e-13, 5.76102136993427e-09, 6.29106785017040e-06, 1.70198817374094e-03,
                1.16817656904453e-01, 9.93151921023180e-01)  # fmt: skip


def rational_logistic(x: F32) -> F32:
    """1 / (1 + e^−x) as 1/2 + x · p(x²) / q(x²), |x| at most 18. Source: MLAS, logistic.cpp (Eigen's coefficients)."""
    held = np.clip(x, np.float32(-18), np.float32(18))
    square = held * held
    above = _polynomial(square, _NUMERATOR) * held
    found = above / _polynomial(square, _DENOMINATOR) + np.float32(0.5)
    return np.asarray(np.maximum(found, np.float32(0)), np.float32)


def _polynomial(x: F32, coefficients: tuple[float, ...]) -> F32:
    """A polynomial in x by Horner's rule, with fused multiply-adds. coefficients: the highest power first."""
    found = np.asarray(np.float32(coefficients[0]))
    for coefficient in coefficients[1:]:
        found = fused(x, found, np.asarray(np.float32(coefficient)))
    return found
