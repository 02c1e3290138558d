"""Elementwise operators: sums, products, activations, requantisation."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.litert.fixed_point import (
    Whole,
    divided_by_power,
    multiplier,
    rounded,
    scaled,
)
from quantseg.simulation.arithmetic.litert.operands import Operands

_SUM_SHIFT = 20
"""Operands of a sum are shifted to the left by so many bits, so that rescaling loses nothing that counts."""


def _sum(sign: int) -> Operator:
    """ADD and SUB: both operands on the scale 2·max(S_a, S_b)/2^20, then one requantisation."""

    def compute(call: Call) -> tuple[Array, ...]:
        operands = Operands.of(call)
        if operands.is_float:
            left, right = operands.array(0), operands.array(1)
            return (operands.clamped(left + right if sign > 0 else left - right),)
        scales = [np.float64(operands.scale(index)) for index in range(2)]
        common = 2 * max(scales)
        parts = [scaled(operands.centred(k) << _SUM_SHIFT, scales[k] / common) for k in range(2)]
        whole = parts[0] + sign * parts[1]
        last = common / (np.float64(1 << _SUM_SHIFT) * np.float64(operands.out_scale))
        return (operands.stored(scaled(whole, last)),)

    return compute


def product(call: Call) -> tuple[Array, ...]:
    """MUL; the multiplier is computed in float32."""
    operands = Operands.of(call)
    if operands.is_float:
        return (operands.clamped(operands.array(0) * operands.array(1)),)
    real = np.float32(operands.scale(0) * operands.scale(1)) / operands.out_scale
    return (operands.stored(scaled(operands.centred(0) * operands.centred(1), np.float64(np.float32(real)))),)


def requantised(call: Call) -> tuple[Array, ...]:
    """QUANTIZE: of real numbers, x/S rounded half away from zero; of integers, onto another grid."""
    operands = Operands.of(call)
    if operands.array(0).dtype.kind == "f":
        with np.errstate(over="ignore"):
            steps = operands.array(0).astype(np.float32) / operands.out_scale
        return (operands.stored(rounded(np.clip(steps, -(2.0**30), 2.0**30))),)
    real = np.float64(operands.scale(0)) / np.float64(operands.out_scale)
    return (operands.stored(scaled(operands.centred(0), real)),)


def dequantised(call: Call) -> tuple[Array, ...]:
    """DEQUANTIZE: S·(q − Z)."""
    operands = Operands.of(call)
    return ((operands.centred(0).astype(np.float64) * np.float64(operands.scale(0))).astype(np.float32),)


def clamp(low: float, high: float) -> Operator:
    """RELU and its like: onto the output's grid, then clamped."""

    def compute(call: Call) -> tuple[Array, ...]:
        operands = Operands.of(call)
        if operands.is_float:
            return (np.clip(operands.array(0), low, high).astype(np.float32),)
        grid, zero = operands.given, int(operands.given.zero_point)
        real = np.float64(np.float32(operands.scale(0) / operands.out_scale))
        whole = scaled(operands.centred(0), real) + zero
        least = max(grid.qtype.qmin, zero + _steps(low, operands.out_scale)) if np.isfinite(low) else grid.qtype.qmin
        most = min(grid.qtype.qmax, zero + _steps(high, operands.out_scale)) if np.isfinite(high) else grid.qtype.qmax
        return (np.clip(whole, least, most).astype(operands.dtype),)

    return compute


def _steps(bound: float, scale: np.float32) -> int:
    return int(rounded(np.asarray(np.float32(bound) / scale)))


def chosen(choose: Callable[[Array, Array], Array]) -> Operator:
    """MAXIMUM and MINIMUM, of integers on one grid."""
    return lambda call: (choose(call.array(0), call.array(1)),)


def prelu(call: Call) -> tuple[Array, ...]:
    """PRELU: each side of zero has a multiplier."""
    operands = Operands.of(call)
    x, slopes = operands.array(0), operands.array(1)
    if operands.is_float:
        return (np.where(x >= 0, x, x * slopes).astype(np.float32),)
    above = np.float64(np.float32(operands.scale(0) / operands.out_scale))
    below = np.float64(np.float32(np.float32(operands.scale(0) * operands.scale(1)) / operands.out_scale))
    whole = operands.centred(0)
    return (operands.stored(np.where(whole >= 0, scaled(whole, above), scaled(whole * operands.centred(1), below))),)


def leaky_relu(call: Call) -> tuple[Array, ...]:
    """LEAKY_RELU: likewise, with one slope."""
    operands, slope = Operands.of(call), np.float32(Operands.of(call).option("alpha"))
    if operands.is_float:
        x = operands.array(0)
        return (np.where(x > 0, x, x * slope).astype(np.float32),)
    above = np.float64(np.float32(operands.scale(0) / operands.out_scale))
    below = np.float64(np.float32(np.float32(operands.scale(0) * slope) / operands.out_scale))
    whole = operands.centred(0)
    return (operands.stored(np.where(whole >= 0, scaled(whole, above), _signed(whole, below))),)


def _signed(whole: Whole, real: np.float64) -> Whole:
    return scaled(whole, real) if real >= 0 else scaled(-whole, -real)


def hard_swish(call: Call) -> tuple[Array, ...]:
    """HARD_SWISH in 16 bits: relu6(x + 3)/6 as a number in [0, 1), times x on the output's scale before a shift."""
    operands = Operands.of(call)
    if operands.is_float:
        x = operands.array(0)
        return ((x * np.clip(x + np.float32(3), 0, 6) / np.float32(6)).astype(np.float32),)
    fine = np.float32(np.float32(1 / 128) * operands.scale(0))
    whole, shift = multiplier(np.float64(np.float32(fine / operands.out_scale)))
    relu_whole, relu_shift = multiplier(np.float64(np.float32(fine / np.float32(3 / 32768))))
    x = operands.centred(0) << 7
    on_output = _high_product_16(x, _as_16(whole))
    gate = x
    if relu_shift > 0:
        gate = _clip_16(gate << int(relu_shift - 1))
    gate = _high_product_16(gate, _as_16(relu_whole))
    if relu_shift > 0:
        gate = _clip_16(gate << 1)
    if relu_shift < 0:
        gate = divided_by_power(gate, -relu_shift)
    gate = (gate + (1 << 15)) >> 1
    both = gate * on_output
    before = np.minimum(np.where(both >= 0, both >> 15, -((-both) >> 15)), (1 << 15) - 1)
    return (operands.stored(divided_by_power(before, -shift)),)


def _as_16(whole: Whole) -> int:
    """A multiplier of 32 bits in 16."""
    most = (1 << 31) - 1
    return (1 << 15) - 1 if int(whole) >= most - (1 << 15) else int((int(whole) + (1 << 15)) >> 16)


def _clip_16(x: Whole) -> Whole:
    return np.clip(x, -(1 << 15), (1 << 15) - 1)


def _high_product_16(a: Whole, b: int) -> Whole:
    """As `doubling_high_product`, in 16 bits."""
    both = a * b
    nudged = both + np.where(both >= 0, 1 << 14, 1 - (1 << 14))
    return np.minimum(np.where(nudged >= 0, nudged >> 15, -((-nudged) >> 15)), (1 << 15) - 1)


def compared(compare: Callable[[Array, Array], Array]) -> Operator:
    """EQUAL, GREATER and their like; integers are compared as they are, on one grid."""
    return lambda call: (compare(call.array(0), call.array(1)),)


def quotient(call: Call) -> tuple[Array, ...]:
    """DIV in float."""
    operands = Operands.of(call)
    return (operands.clamped(operands.array(0) / operands.array(1)),)


def real(function: Callable[[NDArray[np.float32]], NDArray[np.floating]]) -> Operator:
    """An operator that is computed in float alone."""
    return lambda call: (np.asarray(function(call.array(0)), np.float32),)


OPERATORS: Mapping[str, Operator] = {
    "ADD": _sum(1),
    "SUB": _sum(-1),
    "MUL": product,
    "DIV": quotient,
    "QUANTIZE": requantised,
    "DEQUANTIZE": dequantised,
    "RELU": clamp(0.0, np.inf),
    "RELU6": clamp(0.0, 6.0),
    "RELU_N1_TO_1": clamp(-1.0, 1.0),
    "MAXIMUM": chosen(np.maximum),
    "MINIMUM": chosen(np.minimum),
    "PRELU": prelu,
    "LEAKY_RELU": leaky_relu,
    "HARD_SWISH": hard_swish,
    "EQUAL": compared(np.equal),
    "GREATER": compared(np.greater),
    "GREATER_EQUAL": compared(np.greater_equal),
    "LESS": compared(np.less),
    "SELECT_V2": lambda call: (np.where(call.array(0), call.array(1), call.array(2)),),
    "SQRT": real(np.sqrt),
    "RSQRT": real(lambda x: 1 / np.sqrt(x)),
    "EXP": real(np.exp),
    "LOG": real(np.log),
    "ABS": real(np.abs),
    "NEG": real(np.negative),
    "FLOOR": real(np.floor),
}
