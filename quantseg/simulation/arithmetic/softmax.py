"""Softmax in float and on integers.

    y_i = e^(x_i) / Σ_j e^(x_j)

onnxruntime's integer kernel looks e^(S (q − q_max)) up in a float32 table, scaled up so that small terms keep their
precision, and divides in float64 by their float32 sum. Source: onnxruntime, qlinear_softmax.cc; the element types were
found by experiment with version 1.32.
"""

import math

import numpy as np

from quantseg.quantization.affine import F32
from quantseg.quantization.rounding.requantisation import saturated
from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.storage import dequantize_linear, quantize_linear

_LARGEST, _RESERVED = float(np.finfo(np.float32).max), 5


def softmax(call: Call) -> tuple[Array, ...]:
    """Softmax in float; before opset 13 over all axes from `axis` on."""
    x = call.array(0)
    axes = _axes(call, x)
    shifted = np.exp(x - x.max(axis=axes, keepdims=True, initial=-np.inf))
    return ((shifted / shifted.sum(axis=axes, keepdims=True)).astype(x.dtype),)


def _axes(call: Call, x: Array) -> tuple[int, ...]:
    if call.opset >= 13:
        return (call.axis(-1, x.ndim),)
    return tuple(range(call.axis(1, x.ndim), x.ndim))


def qlinear_softmax(call: Call) -> tuple[Array, ...]:
    """com.microsoft.QLinearSoftmax."""
    x, scale = call.array(0), call.scale(1)
    s_y, z_y = call.scale(3), call.zero_point(4, x.dtype)
    inner = Call((x,), call.attributes, opset=call.number("opset", call.opset))
    axes = _axes(inner, x)
    if not call.as_onnxruntime:
        (real,) = dequantize_linear(Call((x, scale, call.zero_point(2, x.dtype)), {}))
        (found,) = softmax(Call((real.astype(np.float64),), inner.attributes, inner.opset))
        return quantize_linear(Call((found.astype(np.float32), s_y, z_y), {}))
    steps = (x.max(axis=axes, keepdims=True).astype(np.int32) - x).astype(np.uint8)  # q_max − q, 0…255
    terms = np.take(exponentials(float(scale), math.prod(x.shape[axis] for axis in axes)), steps)
    total = _summed(terms, axes)
    over = np.floor(np.float32(1) / s_y)
    return (saturated(np.rint(terms.astype(np.float64) * over / total), z_y),)


def exponentials(scale: float, count: int) -> F32:
    """The kernel's float32 table of e^(−S · step), scaled up, for step = q_max − q = 0…255.

    count: the number of terms in a sum, which bounds the scaling.
    """
    room = float(np.float32(math.log(np.float32(_LARGEST) / np.float32(count))))  # a float32 logarithm, as the kernel
    shift = max(0.0, room - _RESERVED) / scale
    # math.exp is the C library's, as the kernel's is; numpy's own may differ in the last bit.
    return np.array([math.exp((shift - step) * scale) for step in range(256)], np.float32)


def _summed(terms: F32, axes: tuple[int, ...]) -> F32:
    """Adds float32 terms one after the other, as the kernel's loop does."""
    moved = np.moveaxis(terms, axes, range(-len(axes), 0)).reshape(*_kept(terms.shape, axes), -1)
    total = np.cumsum(moved, axis=-1, dtype=np.float32)[..., -1]
    return total.reshape([1 if i in axes else n for i, n in enumerate(terms.shape)])


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(shape) if i not in axes)


OPERATORS: dict[str, Operator] = {"QLinearSoftmax": qlinear_softmax, "Softmax": softmax}
