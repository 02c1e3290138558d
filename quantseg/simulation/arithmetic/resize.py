"""Resize in every mode of ONNX, axis by axis.

An output pixel i lies at position p(i) of the input. Nearest takes one pixel; linear and cubic weight the pixels around
p, with antialias those under a kernel stretched by 1/scale. Positions are float32, as in onnxruntime.
Source: ONNX, Resize (opset 19). The cubic kernel: Keys, IEEE ASSP 29 (1981).
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.quantization.affine import F32
from quantseg.quantization.rounding.requantisation import CHANNELS_LAST
from quantseg.quantization.rounding.single import fused
from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.sampling import SampledAxis, axes_of, positions
from quantseg.simulation.arithmetic.sizes import checked

_HALF = 1e-6
"""A position this close to a half is treated as a half by onnxruntime (found by experiment with version 1.32)."""


def resize(call: Call) -> tuple[Array, ...]:
    """Resize. In linear and cubic mode integers are computed in float32 and truncated, as in onnxruntime."""
    x = call.array(0)
    mode = call.attributes.get("mode", "nearest")
    axes = axes_of(call, x)
    checked([axis.after for axis in axes], x.itemsize)
    places = [positions(axis, call) for axis in axes]
    changed = [
        number
        for number, (axis, at) in enumerate(zip(axes, places, strict=True))
        if axis.after != axis.before or not np.array_equal(at, np.arange(axis.before))
    ]
    found = x if mode == "nearest" else x.astype(np.float32)
    if mode == "nearest":
        for number in changed:
            found = np.take(found, _nearest(places[number], axes[number].before, call), number)
    elif mode == "linear" and changed and not call.number("antialias", 0) and not call.number("exclude_outside", 0):
        neighbours = [_neighbours(at, axis.before) for axis, at in zip(axes, places, strict=True)]
        found = _linear(x, neighbours, [number for number, axis in enumerate(axes) if axis.scale != 1], call)
    else:
        for number in changed:
            weights = _weights(places[number], axes[number], mode, call)
            found = np.moveaxis(np.tensordot(weights, found, (1, number)), 0, number)
    if call.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        found = _extrapolated(found, places, axes, call.attributes.get("extrapolation_value", 0.0))
    whole = x.dtype.kind in "iu" and found.dtype.kind == "f"
    return (np.ascontiguousarray(np.trunc(found) if whole else found).astype(x.dtype),)


def _nearest(at: F32, size: int, call: Call) -> NDArray[np.int64]:
    mode = call.attributes.get("nearest_mode", "round_prefer_floor") if call.opset >= 11 else "floor"
    floor = np.floor(at)
    beyond = at.astype(np.float64) - floor - 0.5
    halves = np.abs(beyond) < _HALF
    rounded = {
        "floor": floor,
        "ceil": np.ceil(at),
        "round_prefer_ceil": floor + (halves | (beyond > 0)),
        "round_prefer_floor": floor + (~halves & (beyond > 0)),
    }
    if mode not in rounded:
        raise ModelError(f"nearest_mode {mode!r}")
    return np.asarray(np.clip(rounded[mode], 0, size - 1), np.int64)


Neighbours = tuple[tuple[NDArray[np.int64], F32], tuple[NDArray[np.int64], F32]]
"""For each output pixel of an axis, the two input pixels it lies between: (indices, weights) of each."""


def _neighbours(at: F32, size: int) -> Neighbours:
    held = np.clip(at, np.float32(0), np.float32(size - 1))
    first = np.floor(held).astype(np.int64)
    second = np.minimum(first + 1, size - 1)
    alone, half = first == second, np.float32(0.5)
    weights = (np.where(alone, half, np.abs(held - index.astype(np.float32))) for index in (second, first))
    return tuple(zip((first, second), weights, strict=True))  # type: ignore[return-value]


_LAST = (0, 2, 3, 1)
"""The permutation NCHW → NHWC."""


def _linear(x: Array, neighbours: Sequence[Neighbours], scaled: Sequence[int], call: Call) -> F32:
    """Linear interpolation as in onnxruntime, which interpolates both spatial axes even if only one is scaled."""
    whole = x.ndim == 4 and x.dtype.kind in "iu"
    if whole and call.rounding == CHANNELS_LAST and set(scaled) <= {2, 3}:
        plain = replace(call, rounding="onnxruntime")
        moved = [_LAST.index(number) for number in scaled]
        found = _linear(x.transpose(_LAST), [neighbours[number] for number in _LAST], moved, plain)
        return np.moveaxis(found, 3, 1)
    axes = _together(x.ndim, scaled)
    pixels = {number: neighbours[number] for number in axes}
    if whole and axes == (1, 2) and call.as_onnxruntime:
        return _in_fixed_point(x, pixels)
    return _blended(x.astype(np.float32), pixels, contracted=call.as_onnxruntime and call.processor.contracts)


def _together(ndim: int, scaled: Sequence[int]) -> tuple[int, ...]:
    """The axes that are interpolated: an image's spatial axes, as in onnxruntime's kernels; else the scaled axes."""
    spatial: dict[int, list[tuple[int, ...]]] = {2: [(0, 1)], 3: [(0, 1, 2)], 4: [(2, 3), (1, 2)], 5: [(2, 3, 4)]}
    return next((axes for axes in spatial.get(ndim, []) if set(scaled) <= set(axes)), tuple(scaled))


def _blended(x: F32, axes: Mapping[int, Neighbours], *, contracted: bool) -> F32:
    """Linear interpolation in onnxruntime's order of float32 operations (upsample.h, version 1.32).

    The terms neighbour · weight are added with the innermost axis varying fastest; a weight is the product of the axes'
    weights, the innermost first. contracted: sums are fused multiply-adds, whose product is not rounded; of the first
    two terms the second is rounded.
    """
    terms: list[tuple[F32, F32]] = []
    order = sorted(axes)
    for chosen in product((0, 1), repeat=len(order)):
        part, weight = x, np.ones((), np.float32)
        for number, which in zip(order[::-1], chosen[::-1], strict=True):
            places, share = axes[number][which]
            part = np.take(part, places, number)
            weight = weight * share.reshape([-1 if i == number else 1 for i in range(x.ndim)])
        terms.append((weight, part))
    if not contracted:
        return functools.reduce(np.add, (weight * part for weight, part in terms))
    (one, first), (other, second), *rest = terms
    total = fused(one, first, other * second)
    for weight, part in rest:
        total = fused(weight, part, total)
    return total


def _in_fixed_point(x: Array, axes: Mapping[int, Neighbours]) -> F32:
    """Integer NHWC tensors as in onnxruntime (upsample.h): weights in steps of 1/1024, the sum truncated."""
    (top, _), (bottom, below) = axes[1]
    (left, _), (right, beside) = axes[2]
    total = np.zeros((len(x), len(top), len(left), x.shape[3]), np.int64)
    for rows, height in ((top, 1024 - _steps(below)), (bottom, _steps(below))):
        for columns, width in ((left, 1024 - _steps(beside)), (right, _steps(beside))):
            shares = height[:, None, None] * width[None, :, None]
            total += shares * x[:, rows][:, :, columns].astype(np.int64)
    return np.trunc(total / (1 << 20)).astype(np.float32)


def _steps(share: F32) -> NDArray[np.int64]:
    return np.asarray(share * np.float32(1024)).astype(np.int64)


def _weights(at: F32, axis: SampledAxis, mode: str, call: Call) -> F32:
    """The interpolation matrix of one axis, (output size, input size): the weight of each input pixel."""
    if mode not in ("linear", "cubic"):
        raise ModelError(f"mode {mode!r}")
    stretch = min(axis.scale, 1.0) if call.number("antialias", 0) else 1.0
    reach = 1 if mode == "linear" else 2
    first = math.floor(-reach / stretch) + 1
    floor = np.floor(at).astype(np.int64)
    steps = np.arange(first, 2 - first)
    distance = np.abs(steps[None, :] - (at - floor)[:, None].astype(np.float64)) * stretch
    taken = np.clip(1 - distance, 0, None) if mode == "linear" else _cubic(distance, call)
    seen = floor[:, None] + steps
    if call.number("exclude_outside", 0):
        taken = np.where((seen >= 0) & (seen < axis.before), taken, 0)
    if stretch < 1 or call.number("exclude_outside", 0):
        taken = taken / taken.sum(axis=1, keepdims=True)
    found = np.zeros(checked((axis.after, axis.before), 8))
    np.add.at(found, (np.arange(axis.after)[:, None], np.clip(seen, 0, axis.before - 1)), taken)
    return found.astype(np.float32)


def _cubic(distance: NDArray[np.float64], call: Call) -> NDArray[np.float64]:
    a, d = call.attributes.get("cubic_coeff_a", -0.75), distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _extrapolated(found: Array, places: Sequence[F32], axes: Sequence[SampledAxis], value: float) -> Array:
    result: Array = found.copy()
    for number, (at, axis) in enumerate(zip(places, axes, strict=True)):
        outside = (at < 0) | (at > axis.before - 1)
        result[(slice(None),) * number + (outside,)] = value
    return result


OPERATORS: dict[str, Operator] = {"Resize": resize}
