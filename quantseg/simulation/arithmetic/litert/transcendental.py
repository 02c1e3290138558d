"""LOGISTIC, TANH and SOFTMAX, whose integers are on fixed grids.

Sources: gemmlowp, fixedpoint.h: exp_on_negative_values, one_over_one_plus_x_for_x_in_0_1; LiteRT, softmax.h,
logistic.h.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.litert.fixed_point import (
    Whole,
    divided_by_power,
    doubling_high_product,
    multiplied,
    multiplier,
    rounded,
)
from quantseg.simulation.arithmetic.litert.operands import Operands

_HIGHEST = (1 << 31) - 1
_DIFFERENCE_BITS, _SUM_BITS = 5, 12
"""Integer bits of a difference to the largest element, and of the sum of exponentials."""
_LOGISTIC_BITS = 4


def exponential(a: Whole, bits: int) -> Whole:
    """exp(a) for a ≤ 0 with `bits` integer bits, as a number in [0, 1] with none."""
    fraction = 31 - bits
    quarter = 1 << (fraction - 2)
    remainder = (a & (quarter - 1)) - quarter
    result = _near_zero(remainder << bits)
    left = remainder - a
    for exponent, factor in _BARREL:
        if bits > exponent:
            shift = fraction + exponent
            has = (left & (1 << shift)) != 0
            result = np.where(has, doubling_high_product(result, factor), result)
    if bits > 5:
        least = -(1 << (36 - bits)) if 36 - bits < 31 else -(1 << 31)
        result = np.where(a < least, 0, result)
    return np.where(a == 0, _HIGHEST, result)


_BARREL = (
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)
"""exp(−2^exponent) with no integer bits, for the bits of a difference."""


def _near_zero(a: Whole) -> Whole:
    """exp(a) for a in [−1/4, 0): a Taylor series around −1/8."""
    centre, third = 1895147668, 715827883
    x = a + (1 << 28)
    square = doubling_high_product(x, x)
    cube = doubling_high_product(square, x)
    fourth = doubling_high_product(square, square)
    quarter_of_fourth = divided_by_power(fourth, 2)
    tail = divided_by_power(doubling_high_product(quarter_of_fourth + cube, third) + square, 1)
    return centre + doubling_high_product(np.full_like(x, centre), x + tail)


def _reciprocal(a: Whole) -> Whole:
    """1/(1 + a) for a in [0, 1], by three Newton steps with two integer bits."""
    half = (a + _HIGHEST + np.where(a + _HIGHEST >= 0, 1, -1)) // 2
    x = 1515870810 + doubling_high_product(half, -1010580540)
    for _ in range(3):
        rest = (1 << 29) - doubling_high_product(half, x)
        x = x + _saturated(doubling_high_product(x, rest) << 2)
    return _saturated(x << 1)


def _saturated(x: Whole) -> Whole:
    return np.clip(x, -(1 << 31), _HIGHEST)


def softmax(call: Call) -> tuple[Array, ...]:
    """SOFTMAX over the last axis."""
    operands = Operands.of(call)
    beta = np.float64(np.float32(operands.option("beta")))
    if operands.is_float:
        x = operands.array(0).astype(np.float64) * beta
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return ((powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32),)
    whole, shift = multiplier(
        min(beta * np.float64(operands.scale(0)) * (1 << (31 - _DIFFERENCE_BITS)), float(_HIGHEST))
    )
    least = -int(np.floor(((1 << _DIFFERENCE_BITS) - 1) * (1 << (31 - _DIFFERENCE_BITS)) / (1 << int(shift))))
    data = operands.array(0).astype(np.int64)
    apart = data - data.max(axis=-1, keepdims=True)
    inside = apart >= least
    powers = exponential(multiplied(np.where(inside, apart, 0), (whole, shift)), _DIFFERENCE_BITS)
    total = np.where(inside, divided_by_power(powers, _SUM_BITS), 0).sum(axis=-1, keepdims=True)
    headroom = 32 - np.ceil(np.log2(total + 1)).astype(np.int64)
    above = _reciprocal((total << headroom) - (1 << 31))
    over_unit = _SUM_BITS - headroom
    found = divided_by_power(doubling_high_product(above, powers), over_unit + 31 - 8)
    return (np.where(inside, np.clip(found - 128, -128, 127), -128).astype(operands.dtype),)


def _looked_up(function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Operator:
    """A table of 256 entries: the function in float32, rounded half away from zero onto the output's grid."""

    def compute(call: Call) -> tuple[Array, ...]:
        operands = Operands.of(call)
        if operands.is_float:
            return (function(operands.array(0).astype(np.float64)).astype(np.float32),)
        real = operands.centred(0).astype(np.float32) * operands.scale(0)
        values = function(real.astype(np.float64)).astype(np.float32)
        return (operands.stored(rounded(values * (np.float32(1) / operands.out_scale))),)

    return compute


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-x))
    return found


OPERATORS: Mapping[str, Operator] = {
    "LOGISTIC": _looked_up(_sigmoid),
    "TANH": _looked_up(np.tanh),
    "SOFTMAX": softmax,
}
