"""Functions of one 8-bit integer: all 256 results are computed once, then looked up.

q_y = clip(round(f(S (q − Z)) / S_y) + Z_y)        Source: onnxruntime, qlinear_lookup_table.cc.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from quantseg.errors import ModelError
from quantseg.quantization.affine import F32, Ints
from quantseg.quantization.rounding.single import rational_logistic
from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.storage import dequantize_linear, quantize_linear


def table(function: Callable[[F32], F32], grid: tuple[F32, Ints], wanted: tuple[F32, Ints]) -> Ints:
    """f at all 256 integers, quantised to the output's grid, indexed by the input's byte.

    grid, wanted: (scale, zero-point) of the input and of the output.
    """
    values = np.arange(256, dtype=np.uint8).view(grid[1].dtype)
    (real,) = dequantize_linear(Call((values, *grid), {}))
    (found,) = quantize_linear(Call((function(real), *wanted), {}))
    return found


def looked_up(x: Ints, results: Ints) -> Ints:
    """The table entry for each integer of x."""
    if x.itemsize != 1:
        raise ModelError(f"integers of type {x.dtype}; a table has an entry for each of 8 bits")
    return np.take(results, x.view(np.uint8))


def logistic(x: Array) -> Array:
    """1 / (1 + e^−x), without overflow."""
    e = np.exp(-np.abs(x.astype(np.float64)))
    return np.asarray(np.where(x >= 0, 1, e) / (1 + e), x.dtype)


def _sigmoid(call: Call) -> Callable[[F32], F32]:
    return rational_logistic if call.as_onnxruntime else logistic


def leaky(x: Array, alpha: float) -> Array:
    """x where it is positive, else alpha · x."""
    return np.where(x >= 0, x, np.asarray(alpha, x.dtype) * x)


def _unary(function: Callable[[Call], Callable[[F32], F32]]) -> Operator:
    def operator(call: Call) -> tuple[Array, ...]:
        x = call.array(0)
        grid = call.scale(1), call.zero_point(2, x.dtype)
        wanted = call.scale(3), call.zero_point(4, x.dtype)
        return (looked_up(x, table(function(call), grid, wanted)),)

    return operator


def qlinear_concat(call: Call) -> tuple[Array, ...]:
    """com.microsoft.QLinearConcat: each input is requantised to the output's grid."""
    wanted, parts = (call.scale(0), call.zero_point(1)), []
    for first in range(2, len(call.inputs), 3):
        x = call.array(first)
        grid = call.scale(first + 1), call.zero_point(first + 2, x.dtype)
        parts.append(looked_up(x, table(lambda real: real, grid, wanted)))
    axis = call.axis(0, parts[0].ndim)
    if len({tuple(n for i, n in enumerate(part.shape) if i != axis) for part in parts}) > 1:
        raise ModelError(f"inputs {' and '.join(str(list(part.shape)) for part in parts)} do not fit along axis {axis}")
    return (np.concatenate(parts, axis),)


def _float(function: Callable[[Any], Any]) -> Operator:
    def operator(call: Call) -> tuple[Array, ...]:
        with np.errstate(all="ignore"):
            return (np.asarray(function(call.array(0)), call.array(0).dtype),)

    return operator


def _hard_sigmoid(call: Call) -> tuple[Array, ...]:
    x = call.array(0)
    alpha, beta = (x.dtype.type(call.attributes.get(key, value)) for key, value in (("alpha", 0.2), ("beta", 0.5)))
    return (np.clip(alpha * x + beta, x.dtype.type(0), x.dtype.type(1)),)


def _hard_swish(call: Call) -> tuple[Array, ...]:
    x = call.array(0)
    return (x * np.clip(x / x.dtype.type(6) + x.dtype.type(0.5), x.dtype.type(0), x.dtype.type(1)),)


def _leaky_relu(call: Call) -> tuple[Array, ...]:
    return (leaky(call.array(0), call.attributes.get("alpha", 0.01)),)


def _prelu(call: Call) -> tuple[Array, ...]:
    x = call.array(0)
    return (np.where(x >= 0, x, call.array(1) * x),)


def _erf(x: Array) -> Array:
    """The error function, within 1.5e-7. Source: Abramowitz and Stegun, 7.1.26."""
    size = np.abs(x.astype(np.float64))
    t = 1 / (1 + 0.3275911 * size)
    powers = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return np.asarray(np.sign(x) * (1 - powers * np.exp(-size * size)))


def _log(x: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):  # −∞ of zero, NaN below
        return np.asarray(np.log(x))


def _elu(call: Call) -> tuple[Array, ...]:
    x = call.array(0)
    return (np.where(x > 0, x, x.dtype.type(call.attributes.get("alpha", 1.0)) * np.expm1(np.minimum(x, 0))),)


OPERATORS: dict[str, Operator] = {
    "Abs": _float(np.abs),
    "Elu": _elu,
    "Erf": _float(_erf),
    "Exp": _float(np.exp),
    "Floor": _float(np.floor),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky_relu,
    "Log": _float(_log),
    "PRelu": _prelu,
    "QLinearConcat": qlinear_concat,
    "QLinearLeakyRelu": _unary(lambda call: lambda x: leaky(x, call.attributes.get("alpha", 0.01))),
    "QLinearSigmoid": _unary(_sigmoid),
    "Sigmoid": lambda call: (_sigmoid(call)(call.array(0)).astype(call.array(0).dtype),),
    "Softplus": _float(lambda x: np.logaddexp(x, x.dtype.type(0))),
    "Sqrt": _float(np.sqrt),
    "Tanh": _float(np.tanh),
}
