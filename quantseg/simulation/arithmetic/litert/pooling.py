"""Pools, means and resampling."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.litert.fixed_point import Whole, divided, multiplied, multiplier, rounded
from quantseg.simulation.arithmetic.litert.operands import Operands
from quantseg.simulation.arithmetic.litert.products import windows

_BILINEAR_BITS = 10
"""Positions of a bilinear RESIZE are whole numbers of 1/1024 pixel."""


def max_pool(call: Call) -> tuple[Array, ...]:
    """MAX_POOL_2D; padding never wins."""
    operands = Operands.of(call)
    data = operands.array(0)
    lowest = np.iinfo(data.dtype).min if data.dtype.kind == "i" else -np.inf
    found = windows(data, _size(operands), operands, lowest).max(axis=(-2, -1))
    return (found if operands.is_float else np.clip(found, *operands.limits()).astype(data.dtype),)


def average_pool(call: Call) -> tuple[Array, ...]:
    """AVERAGE_POOL_2D over the pixels inside the image, rounded half away from zero."""
    operands = Operands.of(call)
    size, data = _size(operands), operands.array(0)
    ones = np.ones((1, *data.shape[1:3], 1))
    counts = windows(ones, size, operands).sum(axis=(-2, -1))
    sums = windows(data.astype(np.float64), size, operands).sum(axis=(-2, -1))
    if operands.is_float:
        return (operands.clamped(sums / counts),)
    whole = divided(sums.astype(np.int64), counts.astype(np.int64))
    return (np.clip(whole, *operands.limits()).astype(data.dtype),)


def _size(operands: Operands) -> tuple[int, int]:
    return operands.option("filter_height"), operands.option("filter_width")


def mean(call: Call) -> tuple[Array, ...]:
    """MEAN: the count is part of the multiplier, with as many bits as fit."""
    operands = Operands.of(call)
    axes = tuple(int(axis) for axis in operands.array(1).reshape(-1))
    keep = bool(operands.option("keep_dims", False))
    if operands.is_float:
        return (operands.array(0).mean(axis=axes, keepdims=keep, dtype=np.float64).astype(np.float32),)
    data = operands.centred(0)
    count = int(np.prod([data.shape[axis] for axis in axes]))
    whole, shift = multiplier(np.float64(operands.scale(0)) / np.float64(operands.out_scale))
    bits = min(count.bit_length() - 1, 32, 31 + int(shift))
    by = (np.asarray((int(whole) << bits) // count, np.int64), shift - bits)
    return (operands.stored(multiplied(data.sum(axis=axes, keepdims=keep), by)),)


def reduced(choose: Callable[..., Array]) -> Operator:
    """REDUCE_MAX and REDUCE_MIN."""

    def compute(call: Call) -> tuple[Array, ...]:
        operands = Operands.of(call)
        axes = tuple(int(axis) for axis in operands.array(1).reshape(-1))
        return (choose(operands.array(0), axis=axes, keepdims=bool(operands.option("keep_dims", False))),)

    return compute


def bilinear(call: Call) -> tuple[Array, ...]:
    """RESIZE_BILINEAR. Integers: weights of 1/1024, products of two of them, rounded half away from zero."""
    operands = Operands.of(call)
    data = operands.array(0)
    after = operands.shape[1:3]
    lines = [_positions(operands, size, given) for size, given in zip(data.shape[1:3], after, strict=True)]
    if operands.is_float:
        return (_interpolated(operands, data),)
    (rows, low_rows, high_rows), (columns, low_columns, high_columns) = lines
    one = 1 << _BILINEAR_BITS
    whole = data.astype(np.int64)
    total = np.zeros(operands.shape, np.int64)
    for row, row_weight in ((low_rows, one - (rows - one * low_rows)), (high_rows, rows - one * low_rows)):
        for column, weight in (
            (low_columns, one - (columns - one * low_columns)),
            (high_columns, columns - one * low_columns),
        ):
            part = whole[:, row][:, :, column]
            total += part * row_weight[None, :, None, None] * weight[None, None, :, None]
    half = 1 << (2 * _BILINEAR_BITS - 1)
    nudged = total + np.where(total > 0, half, -half)
    result = np.where(nudged >= 0, nudged >> 20, -((-nudged) >> 20))
    return (result.astype(data.dtype),)


def _positions(operands: Operands, size: int, given: int) -> tuple[Whole, Whole, Whole]:
    """Positions of output pixels in 1/1024 input pixels, and the pixels below and above."""
    one = 1 << _BILINEAR_BITS
    if operands.option("align_corners", False) and given > 1:
        step = (one * (size - 1) + (given - 1) // 2) // (given - 1)
    else:
        step = (one * size + given // 2) // given
    at = np.arange(given, dtype=np.int64) * step
    if operands.option("half_pixel_centers", False):
        at = at + step // 2 - one // 2
    low = np.clip(np.where(at >= 0, at // one, -((-at) // one)), 0, size - 1)
    above = at + one - 1
    high = np.clip(np.where(above >= 0, above // one, -((-above) // one)), 0, size - 1)
    return at, low, high


def _interpolated(operands: Operands, data: Array) -> NDArray[np.float32]:
    """In float, as a weighted sum of rows, then of columns."""
    result = data.astype(np.float64)
    for axis in (1, 2):
        size, given = data.shape[axis], operands.shape[axis]
        aligned = operands.option("align_corners", False) and given > 1
        step = (size - 1) / (given - 1) if aligned else size / given
        at = np.arange(given) * step
        if operands.option("half_pixel_centers", False):
            at = np.maximum((np.arange(given) + 0.5) * step - 0.5, 0)
        low = np.minimum(np.floor(at).astype(int), size - 1)
        high = np.minimum(low + 1, size - 1)
        part = (at - low).reshape([-1 if place == axis else 1 for place in range(4)])
        result = result.take(low, axis) * (1 - part) + result.take(high, axis) * part
    return result.astype(np.float32)


def nearest(call: Call) -> tuple[Array, ...]:
    """RESIZE_NEAREST_NEIGHBOR, positions in float32."""
    operands = Operands.of(call)
    data = operands.array(0)
    centres = bool(operands.option("half_pixel_centers", False))
    for axis in (1, 2):
        size, given = data.shape[axis], operands.shape[axis]
        aligned = bool(operands.option("align_corners", False)) and given > 1
        scale = np.float32(size - 1) / np.float32(given - 1) if aligned else np.float32(size) / np.float32(given)
        at = np.arange(given, dtype=np.float32)
        position = (at + np.float32(0.5)) * scale if centres else at * scale
        whole = rounded(position) if aligned else np.floor(position).astype(np.int64)
        data = data.take(np.minimum(whole, size - 1), axis)
    return (data,)


OPERATORS: Mapping[str, Operator] = {
    "MAX_POOL_2D": max_pool,
    "AVERAGE_POOL_2D": average_pool,
    "MEAN": mean,
    "REDUCE_MAX": reduced(np.max),
    "REDUCE_MIN": reduced(np.min),
    "RESIZE_BILINEAR": bilinear,
    "RESIZE_NEAREST_NEIGHBOR": nearest,
}
