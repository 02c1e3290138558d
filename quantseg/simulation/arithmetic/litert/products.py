"""Convolutions and matrix products: int32 sums, one requantisation per output channel."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.litert.fixed_point import Whole, scaled, scaled_once, wrapped
from quantseg.simulation.arithmetic.litert.operands import SAME, Operands
from quantseg.simulation.arithmetic.sizes import checked


def padded(image: NDArray[Any], sizes: tuple[int, int], operands: Operands, fill: float = 0) -> NDArray[Any]:
    """An NHWC image with a number around it, as SAME or VALID asks. sizes: of the window, dilation included."""
    if operands.option("padding") != SAME:
        return image
    strides = operands.option("stride_h"), operands.option("stride_w")
    widths = [(0, 0)]
    for size, window, stride in zip(image.shape[1:3], sizes, strides, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + window - size)
        widths.append((total // 2, total - total // 2))
    checked([size + before + after for size, (before, after) in zip(image.shape[:3], widths, strict=True)], 8)
    return np.pad(image, [*widths, (0, 0)], constant_values=fill)


def windows(image: NDArray[Any], size: tuple[int, int], operands: Operands, fill: float = 0) -> NDArray[Any]:
    """All windows, (N, rows, columns, channels, h, w). fill: the number in the padding."""
    dilations = operands.option("dilation_h_factor", 1), operands.option("dilation_w_factor", 1)
    reach = tuple((n - 1) * d + 1 for n, d in zip(size, dilations, strict=True))
    whole = padded(image, (reach[0], reach[1]), operands, fill)
    found = sliding_window_view(whole, reach, axis=(1, 2))
    rows, columns = operands.option("stride_h"), operands.option("stride_w")
    return found[:, ::rows, ::columns, :, :: dilations[0], :: dilations[1]]


def convolution(call: Call) -> tuple[Array, ...]:
    """CONV_2D, also of several groups."""
    operands = Operands.of(call)
    image, weight = _factors(operands, 0, 1)
    outputs, rows, columns, inputs = weight.shape
    seen = windows(image, (rows, columns), operands)
    each = outputs * inputs // image.shape[3]
    sums = np.zeros((*seen.shape[:3], outputs))
    for first in range(0, outputs, each):
        start = first // each * inputs
        for row in range(rows):
            for column in range(columns):
                part = seen[:, :, :, start : start + inputs, row, column]
                sums[..., first : first + each] += part @ weight[first : first + each, row, column].T
    return (_given(operands, sums, 2, (0, 1)),)


def depthwise(call: Call) -> tuple[Array, ...]:
    """DEPTHWISE_CONV_2D: output channel c·multiplier + m reads channel c."""
    operands = Operands.of(call)
    image, weight = _factors(operands, 0, 1)
    _, rows, columns, outputs = weight.shape
    seen = windows(image, (rows, columns), operands)
    multiplier = outputs // image.shape[3]
    sums = np.zeros((*seen.shape[:3], outputs), image.dtype)
    for row in range(rows):
        for column in range(columns):
            sums += np.repeat(seen[..., row, column], multiplier, axis=3) * weight[0, row, column]
    return (_given(operands, sums, 2, (0, 1)),)


def transposed(call: Call) -> tuple[Array, ...]:
    """TRANSPOSE_CONV: each input pixel adds its kernel to the output; what lies outside is cut off."""
    operands = Operands.of(call)
    image, weight = _factors(operands, 2, 1)
    outputs, rows, columns, _ = weight.shape
    strides = operands.option("stride_h"), operands.option("stride_w")
    before = [_cut(operands, size, window, stride)
              for size, window, stride in zip(operands.shape[1:3], (rows, columns), strides, strict=True)]  # fmt: skip
    count, height, width, _ = image.shape
    full = [(n - 1) * stride + k for n, stride, k in zip((height, width), strides, (rows, columns), strict=True)]
    whole = np.zeros(checked((count, *full, outputs), 8), image.dtype)
    for row in range(rows):
        lines = slice(row, row + height * strides[0], strides[0])
        for column in range(columns):
            places = slice(column, column + width * strides[1], strides[1])
            whole[:, lines, places] += image @ weight[:, row, column].T
    sums = np.zeros(operands.shape, image.dtype)
    inside = whole[:, before[0] : before[0] + sums.shape[1], before[1] : before[1] + sums.shape[2]]
    sums[:, : inside.shape[1], : inside.shape[2]] = inside
    return (_given(operands, sums, 3, (2, 1)),)


def _cut(operands: Operands, size: int, window: int, stride: int) -> int:
    """Pixels that are cut off before the first one."""
    if operands.option("padding") != SAME:
        return 0
    return max(0, (-(-size // stride) - 1) * stride + window - size) // 2


def fully_connected(call: Call) -> tuple[Array, ...]:
    """FULLY_CONNECTED: rows times weights (outputs, inputs)."""
    operands = Operands.of(call)
    rows, weight = _factors(operands, 0, 1)
    sums = rows.reshape(-1, weight.shape[1]) @ weight.T
    return (_given(operands, sums, 2, (0, 1), of_matrices=True).reshape(operands.shape),)


def batch_matmul(call: Call) -> tuple[Array, ...]:
    """BATCH_MATMUL of two activations."""
    operands = Operands.of(call)
    left, right = _factors(operands, 0, 1)
    left = np.swapaxes(left, -1, -2) if operands.option("adj_x") else left
    right = np.swapaxes(right, -1, -2) if operands.option("adj_y") else right
    return (_given(operands, left @ right, 2, (0, 1), of_matrices=True),)


def _factors(operands: Operands, data: int, weight: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both factors as float64, which holds every sum of products of 8-bit integers exactly."""
    if operands.array(data).dtype.kind == "f":
        return operands.array(data).astype(np.float64), operands.array(weight).astype(np.float64)
    return operands.centred(data).astype(np.float64), operands.centred(weight).astype(np.float64)


def _given(
    operands: Operands, sums: NDArray[np.float64], bias: int, factors: tuple[int, int], *, of_matrices: bool = False
) -> Array:
    """The sums with bias, on the output's grid. factors: which inputs are data and weight.

    of_matrices: whether a kernel of matrix products computes them: it rounds once, and multiplies two single scales in
    float32.
    """
    added = operands.call.maybe(bias)
    if operands.is_float:
        return operands.clamped(sums if added is None else sums + added)
    whole: Whole = sums.astype(np.int64) if added is None else sums.astype(np.int64) + added.astype(np.int64)
    data, weight = factors
    scales = operands.grid(weight).scale.reshape(-1).astype(np.float64)
    if len(scales) == 1 and of_matrices:
        product = np.asarray(np.float32(operands.scale(data) * operands.scale(weight)), np.float64)
    else:
        product = np.float64(operands.scale(data)) * scales
    rescale = scaled_once if of_matrices else scaled
    return operands.stored(rescale(wrapped(whole), product / np.float64(operands.out_scale)))


OPERATORS: Mapping[str, Operator] = {
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": depthwise,
    "TRANSPOSE_CONV": transposed,
    "FULLY_CONNECTED": fully_connected,
    "BATCH_MATMUL": batch_matmul,
}
