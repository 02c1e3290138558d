"""Elementwise sums and products of integer tensors, and elementwise float operators.

    Add: q = (q_a − Z_a)·S_a/S_y + (q_b − Z_b)·S_b/S_y + Z_y,     Mul: q = (q_a − Z_a)(q_b − Z_b)·S_a·S_b/S_y + Z_y

8-bit operands take 256 values each, so for a large tensor all 65536 pairs are computed once and then looked up.
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.quantization.affine import F32, Ints
from quantseg.quantization.rounding.pairwise import ADDERS, MULTIPLIERS
from quantseg.quantization.rounding.requantisation import (
    CHANNELS_LAST,
    Ratio,
    doubling_high_multiply,
    fixed_point,
    requantised,
    saturated,
    shift_half_away,
    shift_half_even,
)
from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.sizes import checked

PAIRS = 1 << 16
"""How many pairs of 8-bit integers there are."""


def _pairwise(compute: Callable[[Ints, Ints], Ints], a: Ints, b: Ints) -> Ints:
    """compute(a, b) with broadcasting; for large tensors through a table of all pairs of values."""
    try:
        shape = checked(np.broadcast_shapes(a.shape, b.shape), 1)
    except ValueError as error:
        raise ModelError(f"inputs {list(a.shape)} and {list(b.shape)} do not fit") from error
    if np.prod(shape) <= PAIRS or max(a.itemsize, b.itemsize) > 1:
        return compute(*np.broadcast_arrays(a, b))
    values = np.arange(256, dtype=np.uint8)
    table = compute(*np.broadcast_arrays(values.view(a.dtype)[:, None], values.view(b.dtype)[None, :])).reshape(-1)
    index = a.view(np.uint8).astype(np.uint16) << 8 | b.view(np.uint8)
    return np.take(table, index)


def _operands(call: Call) -> tuple[tuple[Array, F32, Ints], tuple[Array, F32, Ints], F32, Ints]:
    a, b = call.array(0), call.array(3)
    left = (a, call.scale(1), call.zero_point(2, a.dtype))
    right = (b, call.scale(4), call.zero_point(5, b.dtype))
    return left, right, call.scale(6), call.zero_point(7, a.dtype)


def qlinear_add(call: Call) -> tuple[Array, ...]:
    """com.microsoft.QLinearAdd."""
    (a, s_a, z_a), (b, s_b, z_b), s_y, z_y = _operands(call)
    shapes = [_laid_out(operand.shape, call) for operand in (a, b)]
    if _is_scalar_in_kernel(*shapes):
        (a, s_a, z_a), (b, s_b, z_b) = (b, s_b, z_b), (a, s_a, z_a)
    scalar = _is_scalar_in_kernel(*shapes) or _is_scalar_in_kernel(*shapes[::-1])

    def compute(one: Ints, other: Ints) -> Ints:
        if call.as_onnxruntime:
            return ADDERS[call.processor.adds](one, other, (s_a, s_b, s_y), (z_a, z_b, z_y), scalar)
        summed = _exact_sum if call.rounding == "exact" else _fixed_sum
        left, right = one.astype(np.int64) - int(z_a), other.astype(np.int64) - int(z_b)
        return saturated(summed(left, right, (s_a, s_b, s_y), call.rounding), z_y)

    return (_pairwise(compute, a, b),)


def _laid_out(shape: tuple[int, ...], call: Call) -> tuple[int, ...]:
    """The shape in the kernel's layout: NHWC where the rounding mode is onnxruntime-channels-last."""
    first = len(shape) == 4 and call.rounding == CHANNELS_LAST
    return tuple(shape[i] for i in (0, 2, 3, 1)) if first else shape


def _is_scalar_in_kernel(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether onnxruntime calls its kernel with a scalar of the first operand and a vector of the second.

    Decided by the innermost axis on which either operand is longer than 1: whether the first is broadcast along it.
    """
    pairs = [pair for pair in zip_longest(reversed(a), reversed(b), fillvalue=1) if pair != (1, 1)]
    return bool(pairs) and pairs[0][0] == 1


def _exact_sum(a: NDArray[np.int64], b: NDArray[np.int64], scales: tuple[F32, F32, F32], _: str) -> Array:
    r_a, r_b = (Fraction(float(s)) / Fraction(float(scales[2])) for s in scales[:2])
    estimate = a * float(r_a) + b * float(r_b)
    rounded = np.rint(estimate)
    slack = 1e-12 * (np.abs(a * float(r_a)) + np.abs(b * float(r_b)) + 1)
    for where in zip(*np.nonzero(np.abs(np.abs(estimate - np.floor(estimate)) - 0.5) <= slack), strict=True):
        rounded[where] = round(int(a[where]) * r_a + int(b[where]) * r_b)
    return rounded


def _fixed_sum(a: NDArray[np.int64], b: NDArray[np.int64], scales: tuple[F32, F32, F32], rounding: str) -> Array:
    """TensorFlow Lite's Add in fixed point.

    Both operands, shifted left by 20 bits, are rescaled to twice the larger scale; the sum to the output's scale.
    """
    twice = 2 * max(float(scales[0]), float(scales[1]))

    def scaled(values: Any, multiplier: float) -> Any:
        fixed, shift = fixed_point(np.asarray(multiplier))
        if rounding == "gemmlowp":
            wide = values << np.maximum(-shift, 0)
            return shift_half_away(doubling_high_multiply(wide, fixed), np.maximum(shift, 0))
        return {"half-away": shift_half_away, "half-even": shift_half_even}[rounding](values * fixed, 31 + shift)

    high = scaled(a << 20, float(scales[0]) / twice) + scaled(b << 20, float(scales[1]) / twice)
    return np.asarray(scaled(high, twice / ((1 << 20) * float(scales[2]))))


def qlinear_mul(call: Call) -> tuple[Array, ...]:
    """com.microsoft.QLinearMul."""
    (a, s_a, z_a), (b, s_b, z_b), s_y, z_y = _operands(call)
    ratio = Ratio((s_a, s_b), (s_y,))

    def compute(one: Ints, other: Ints) -> Ints:
        left, right = one.astype(np.int32) - int(z_a), other.astype(np.int32) - int(z_b)
        if not call.as_onnxruntime:
            return requantised(left * right, ratio, z_y, call.rounding)
        return MULTIPLIERS[call.processor.multiplies](left, right, (s_a, s_b, s_y), z_y)

    return (_pairwise(compute, a, b),)


def _float(function: Callable[..., Any]) -> Operator:
    """A float operator, with numpy's broadcasting."""

    def operator(call: Call) -> tuple[Array, ...]:
        arrays = [call.array(i) for i in range(len(call.inputs))]
        try:
            checked(np.broadcast_shapes(*(array.shape for array in arrays)), arrays[-1].itemsize)
        except ValueError as error:
            shapes = " and ".join(str(list(array.shape)) for array in arrays)
            raise ModelError(f"inputs {shapes} do not fit") from error
        with np.errstate(all="ignore"):
            return (np.asarray(function(*arrays)),)

    return operator


def _divide(a: Array, b: Array) -> Array:
    """Division; integers are truncated towards zero."""
    return a / b if a.dtype.kind == "f" else np.asarray(np.trunc(a / b), a.dtype)


def _clip(call: Call) -> tuple[Array, ...]:
    x = call.array(0)
    low, high = (
        call.maybe(index) if call.opset >= 11 else np.asarray(call.attributes[name], x.dtype) if name in call.attributes
        else None
        for index, name in ((1, "min"), (2, "max"))
    )  # fmt: skip
    found = x if low is None else np.maximum(x, low.reshape(()))
    return (found if high is None else np.minimum(found, high.reshape(())),)


def _variadic(function: Callable[[Any, Any], Any]) -> Operator:
    def operator(call: Call) -> tuple[Array, ...]:
        found = call.array(0)
        for index in range(1, len(call.inputs)):
            found = function(found, call.array(index))
        return (found,)

    return operator


OPERATORS: dict[str, Operator] = {
    "Add": _float(np.add),
    "Clip": _clip,
    "Div": _float(_divide),
    "Equal": _float(np.equal),
    "Greater": _float(np.greater),
    "GreaterOrEqual": _float(np.greater_equal),
    "Less": _float(np.less),
    "LessOrEqual": _float(np.less_equal),
    "Max": _variadic(np.maximum),
    "Min": _variadic(np.minimum),
    "Mul": _float(np.multiply),
    "Neg": _float(np.negative),
    "Not": _float(np.logical_not),
    "Pow": _float(lambda x, power: np.power(x, power).astype(x.dtype)),
    "QLinearAdd": qlinear_add,
    "QLinearMul": qlinear_mul,
    "Relu": _float(lambda x: np.maximum(x, x.dtype.type(0))),
    "Sub": _float(np.subtract),
    "Where": _float(np.where),
}
