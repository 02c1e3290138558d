"""Pooling: MaxPool and MaxUnpool, average pooling and global average pooling.

onnxruntime's QLinearAveragePool adds dequantised float32 values one after the other and divides; its global average
pooling adds integers and requantises by S_x / (S_y · count). Sources: onnxruntime, qlinear_pool.cc; MLAS,
qlgavgpool.cpp.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from quantseg.errors import ModelError
from quantseg.quantization.rounding.requantisation import Ratio, held, requantised
from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.sizes import checked
from quantseg.simulation.arithmetic.storage import dequantize_linear
from quantseg.simulation.arithmetic.windows import Windows, numbers, spatial, windows


def _view(call: Call, x: Array) -> Windows:
    if x.ndim < 3 or "kernel_shape" not in call.attributes:
        raise ModelError(f"a pool over {list(x.shape)} with kernel {call.attributes.get('kernel_shape')}")
    view = windows(x.shape[2:], call.attributes["kernel_shape"], call.attributes)
    checked((*x.shape[:2], *view.shape))
    return view


def lowest(kind: np.dtype[Any]) -> float:
    """The lowest value of a type, used as padding: −∞ for float."""
    return float(np.finfo(kind).min if kind.kind == "f" else np.iinfo(kind).min)


def max_pool(call: Call) -> tuple[Array, ...]:
    """MaxPool; its second output, the indices of the maxima, only where it is asked for."""
    x = call.array(0)
    view = _view(call, x)
    if call.outputs > 1 and x.dtype.kind in "iu":  # wider, so that no pixel is as low as the padding
        found, places = max_pool(replace(call, inputs=(x.astype(np.float64),)))
        return np.maximum(found, lowest(x.dtype)).astype(x.dtype), places
    padded = view.padded(x, lowest(x.dtype))
    found = np.full((*x.shape[:2], *view.shape), lowest(x.dtype), x.dtype)
    places = np.zeros(found.shape if call.outputs > 1 else (0,), np.int64)
    for tap in view.taps():
        seen = padded[view.seen_by(tap)]
        if call.outputs > 1:
            places = np.where(seen > found, _place(tap, view, x.shape, call.number("storage_order", 0)), places)
        np.maximum(found, seen, out=found)
    return (found, places) if call.outputs > 1 else (found,)


def _place(tap: tuple[int, ...], view: Windows, shape: tuple[int, ...], column_major: int) -> Array:
    """For each window the index, in the flattened tensor, of the pixel at this kernel position."""
    axes, sizes = len(view.shape), shape[2:]
    coordinates = [
        np.arange(count).reshape([-1 if i == axis else 1 for i in range(axes)]) * stride + step * dilation - low
        for axis, (count, stride, step, dilation, (low, _)) in enumerate(
            zip(view.shape, view.strides, tap, view.dilations, view.pads, strict=True)
        )
    ]
    order = list(range(axes))[:: -1 if column_major else 1]
    inside: Any = 0
    for axis in order:
        inside = inside * sizes[axis] + coordinates[axis]
    planes = np.arange(math.prod(shape[:2])).reshape(*shape[:2], *[1] * axes)
    return np.asarray(planes * math.prod(sizes) + inside)


def max_unpool(call: Call) -> tuple[Array, ...]:
    """MaxUnpool: each value goes to its index in the flattened output, as in onnxruntime; 0 elsewhere."""
    x, places = call.array(0), call.array(1)
    if x.shape != places.shape or x.ndim < 3:
        raise ModelError(f"inputs {list(x.shape)} and {list(places.shape)} do not fit")
    axes = x.ndim - 2
    kernel, strides, pads = (
        numbers(call.attributes, name, count, default)
        for name, count, default in (("kernel_shape", axes, 1), ("strides", axes, 1), ("pads", 2 * axes, 0))
    )
    sizes = [
        (size - 1) * stride - low - high + far
        for size, stride, far, low, high in zip(x.shape[2:], strides, kernel, pads[:axes], pads[axes:], strict=True)
    ]
    shape = checked(call.array(2).tolist() if call.has(2) else (*x.shape[:2], *sizes), x.itemsize)
    found = np.zeros(shape, x.dtype)
    if places.size and not 0 <= places.min() <= places.max() < found.size:
        raise ModelError(f"places up to {places.max()} in a result of shape {list(shape)}")
    found.reshape(-1)[places.reshape(-1)] = x.reshape(-1)
    return (found,)


def _sums(x: Array, view: Windows, *, with_pads: bool) -> tuple[Array, Array]:
    """The sum of each window, in x's type, and the number of pixels that it is divided by."""
    padded = view.padded(x, 0)
    counted = _with_pads(view, x) if with_pads else view.padded(np.ones((1, 1, *x.shape[2:]), x.dtype), 0)
    total, count = None, None
    for tap in view.taps():
        seen, part = padded[view.seen_by(tap)], counted[view.seen_by(tap)]
        total, count = (seen.copy(), part.copy()) if total is None else (total + seen, count + part)
    assert total is not None
    assert count is not None
    return total, count


def _with_pads(view: Windows, x: Array) -> Array:
    """Ones over pixels and declared pads; what ceil_mode reads beyond the pads does not count."""
    whole = view.padded(np.zeros((1, 1, *x.shape[2:]), x.dtype), 0)
    counted = np.zeros_like(whole)
    inside = (slice(0, size + low + high) for size, (low, high) in zip(x.shape[2:], view.pads, strict=True))
    counted[spatial(inside)] = 1
    return counted


def average_pool(call: Call) -> tuple[Array, ...]:
    """AveragePool in float."""
    x = call.array(0)
    total, count = _sums(x, _view(call, x), with_pads=bool(call.number("count_include_pad", 0)))
    return ((total / np.maximum(count, 1)).astype(x.dtype),)  # a window of pads alone gives 0, as in onnxruntime


def qlinear_average_pool(call: Call) -> tuple[Array, ...]:
    """com.microsoft.QLinearAveragePool, as onnxruntime computes it.

    Z_y is added before rounding. count_include_pad divides by the full kernel size, positions that ceil_mode reads
    beyond the pads included. A kernel as large as the image is computed as a global average.
    """
    x, scale, zero = call.array(0), call.scale(1), call.zero_point(2, call.array(0).dtype)
    s_y, z_y, view = call.scale(3), call.zero_point(4, x.dtype), _view(call, x)
    if view.kernel == x.shape[2:] and not any(map(any, view.pads)):
        return qlinear_global_average_pool(call)
    real = dequantize_linear(Call((x, scale, zero), {}))[0] if call.as_onnxruntime else x.astype(np.int64) - int(zero)
    total, count = _sums(real, view, with_pads=False)
    if call.number("count_include_pad", 0):
        count = np.asarray(math.prod(view.kernel), real.dtype)
    if call.as_onnxruntime:
        rounded = np.rint(np.divide(np.divide(total, count), s_y) + np.float32(int(z_y)))
        return (held(rounded, z_y),)
    ratio = Ratio((scale,), (s_y, np.broadcast_to(count.astype(np.float32), total.shape)))
    return (requantised(total, ratio, z_y, call.rounding),)


def global_average_pool(call: Call) -> tuple[Array, ...]:
    """GlobalAveragePool in float."""
    x = call.array(0)
    return (x.mean(axis=tuple(range(2, x.ndim)), keepdims=True, dtype=np.float64).astype(x.dtype),)


def global_accumulators(call: Call) -> Array:
    """Σ (q − Z) over the pixels of each channel of each image."""
    x = call.array(0)
    axes = tuple(range(2, x.ndim))
    zero = int(call.zero_point(2, x.dtype))
    return np.asarray(x.sum(axis=axes, keepdims=True, dtype=np.int64) - zero * math.prod(x.shape[2:]))


def qlinear_global_average_pool(call: Call) -> tuple[Array, ...]:
    """com.microsoft.QLinearGlobalAveragePool."""
    x = call.array(0)
    count = np.asarray(math.prod(x.shape[2:]), np.float32)
    ratio = Ratio((call.scale(1),), (call.scale(3), count))
    return (requantised(global_accumulators(call), ratio, call.zero_point(4, x.dtype), call.rounding),)


OPERATORS: dict[str, Operator] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "MaxPool": max_pool,
    "MaxUnpool": max_unpool,
}
