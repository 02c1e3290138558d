"""Transposed convolutions, computed in two equivalent ways: by scattering products, and as sub-pixel phases.

    a[n, m, s·y + d·u − p] += x[n, c, y] · w[c, m, u]          each input pixel scatters a kernel's worth of products

Only kernel positions u for which s divides o + p − d·u contribute to output pixel o. So the outputs of one phase
o mod s are an ordinary convolution with those positions, and the s² phases (in 2-D), interleaved, are the output.
x and w are given minus their zero-points, so pixels outside the image add 0. Source: ONNX, ConvTranspose.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product as combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.quantization.affine import F32
from quantseg.quantization.rounding.requantisation import Ratio, requantised
from quantseg.simulation.arithmetic.call import Call, Operator
from quantseg.simulation.arithmetic.convolution import centre, per_channel
from quantseg.simulation.arithmetic.products import EXACT, product, stretches
from quantseg.simulation.arithmetic.sizes import checked
from quantseg.simulation.arithmetic.windows import numbers, spatial, split_pads

Array = NDArray[Any]


@dataclass(frozen=True)
class Scatter:
    """Geometry of a transposed convolution. pads: (start, end) cropped from each axis; shape: spatial output sizes."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    shape: tuple[int, ...]


def geometry(x: Array, weight_shape: Sequence[int], attributes: Mapping[str, Any]) -> Scatter:
    """The geometry of a ConvTranspose of x. Raises ModelError where attributes or weight do not fit."""
    groups = int(attributes.get("group", 1))
    if x.ndim != len(weight_shape) or x.ndim < 3 or x.shape[1] != weight_shape[0] or weight_shape[0] % groups:
        raise ModelError(f"input {list(x.shape)} and weight {list(weight_shape)} do not fit in {groups} groups")
    axes, kernel = x.ndim - 2, tuple(weight_shape[2:])
    strides, dilations = (numbers(attributes, name, axes, 1) for name in ("strides", "dilations"))
    extra = numbers(attributes, "output_padding", axes, 0)
    if min(*strides, *dilations) < 1 or min(*extra, 0) < 0:
        raise ModelError(f"strides {list(strides)}, dilations {list(dilations)}, output_padding {list(extra)}")
    full = [
        stride * (size - 1) + more + (far - 1) * dilation + 1
        for size, stride, more, far, dilation in zip(x.shape[2:], strides, extra, kernel, dilations, strict=True)
    ]
    mode, wanted = attributes.get("auto_pad", "NOTSET"), attributes.get("output_shape")
    if wanted is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        # onnxruntime does not enlarge the output where the kernel is smaller than the stride
        wanted = [min(size * stride, most) for size, stride, most in zip(x.shape[2:], strides, full, strict=True)]
    if wanted is not None:
        half = "SAME_UPPER" if mode == "SAME_UPPER" else "SAME_LOWER"
        pads = tuple(split_pads(max(size - out, 0), half) for size, out in zip(full, list(wanted)[-axes:], strict=True))
        return Scatter(kernel, strides, dilations, pads, checked(list(wanted)[-axes:]))
    flat = numbers(attributes, "pads", 2 * axes, 0) if mode == "NOTSET" else (0,) * (2 * axes)
    pads = tuple(zip(flat[:axes], flat[axes:], strict=True))
    shape = checked([size - low - high for size, (low, high) in zip(full, pads, strict=True)])
    return Scatter(kernel, strides, dilations, pads, shape)


def scattered(x: F32, weight: F32, groups: int, place: Scatter, *, whole: bool = True) -> Array:
    """Scatters: for each kernel position one product with all pixels, added to the output pixels that it reaches.

    x: (N, C, …); weight: (C, M/groups, …); whole: both are whole numbers, and the result is exact. Returns (N, M, …):
    float32 where that is exact, else int64.
    """
    outputs = weight.shape[1]
    full = [
        max((size - 1) * stride + (far - 1) * dilation + 1, low + out)
        for size, stride, far, dilation, (low, _), out in zip(
            x.shape[2:], place.strides, place.kernel, place.dilations, place.pads, place.shape, strict=True
        )
    ]
    flat = x.reshape(len(x), groups, -1, int(np.prod(x.shape[2:])))
    kind = _type_of(x, weight, groups, whole)
    total: Array = np.zeros(checked((len(x), groups * outputs, *full), 8), kind)
    for tap in np.ndindex(place.kernel):
        rows = np.moveaxis(_at(weight, tap).reshape(groups, -1, outputs), 1, 2)
        added = product(rows, flat, _cuts(rows, x, whole)).astype(kind, copy=False)
        where = [
            slice(dilation * step, dilation * step + (size - 1) * stride + 1, stride)
            for step, dilation, stride, size in zip(tap, place.dilations, place.strides, x.shape[2:], strict=True)
        ]
        total[spatial(where)] += added.reshape(len(x), groups * outputs, *x.shape[2:])
    return _cropped(total, place)


def phases(x: F32, weight: F32, groups: int, place: Scatter, *, whole: bool = True) -> Array:
    """One ordinary convolution for each phase o mod s of the output. Arguments and result as of `scattered`."""
    outputs, axes = weight.shape[1], x.ndim - 2
    kind = _type_of(x, weight, groups, whole)
    total = np.zeros(checked((len(x), groups * outputs, *place.shape), 8), kind)
    for phase in combinations(*map(range, place.strides)):
        counts = [
            -(-max(size - first, 0) // stride)
            for size, first, stride in zip(place.shape, phase, place.strides, strict=True)
        ]
        taps = [tap for tap in np.ndindex(*place.kernel) if _meets(tap, phase, place)]
        if not taps or not all(counts):
            continue
        columns = np.stack([_shifted(x, _offset(tap, phase, place), counts) for tap in taps], axis=1)
        columns = columns.reshape(len(x), len(taps), groups, -1, *counts).swapaxes(1, 2)
        columns = columns.reshape(len(x), groups, -1, int(np.prod(counts)))
        kernel = np.stack([_at(weight, tap).reshape(groups, -1, outputs) for tap in taps], axis=1)
        rows = np.ascontiguousarray(np.moveaxis(kernel.reshape(groups, -1, outputs), 1, 2))
        found = product(rows, columns, _cuts(rows, x, whole))
        where = tuple(slice(first, None, stride) for first, stride in zip(phase, place.strides, strict=True))
        total[spatial(where)] = found.reshape(len(x), groups * outputs, *counts)
    assert total.ndim == axes + 2
    return total


def _at(weight: F32, tap: Sequence[int]) -> F32:
    """The weight at one kernel position, (C, M/groups)."""
    place: tuple[Any, ...] = (Ellipsis, *tap)
    return np.asarray(weight[place])


def _meets(tap: Sequence[int], phase: Sequence[int], place: Scatter) -> bool:
    return all(
        (first + low - dilation * step) % stride == 0
        for step, first, stride, dilation, (low, _) in zip(
            tap, phase, place.strides, place.dilations, place.pads, strict=True
        )
    )


def _offset(tap: Sequence[int], phase: Sequence[int], place: Scatter) -> list[int]:
    """Offset, on each axis, from an output pixel's index within its phase to the input pixel that it takes at `tap`."""
    return [
        (first + low - dilation * step) // stride
        for step, first, stride, dilation, (low, _) in zip(
            tap, phase, place.strides, place.dilations, place.pads, strict=True
        )
    ]


def _shifted(x: F32, offset: Sequence[int], counts: Sequence[int]) -> F32:
    """x[…, offset : offset + count], zero outside the image."""
    found = np.zeros((*x.shape[:2], *counts), np.float32)
    into, of = [], []
    for size, start, count in zip(x.shape[2:], offset, counts, strict=True):
        first, last = max(0, -start), min(count, size - start)
        into.append(slice(first, max(first, last)))
        of.append(slice(first + start, max(first, last) + start))
    found[spatial(into)] = x[spatial(of)]
    return found


def _type_of(x: F32, weight: F32, groups: int, whole: bool) -> type[np.float32] | type[np.int64]:
    if not whole:
        return np.float32
    sums = np.abs(weight).reshape(groups, -1, *weight.shape[1:]).sum(axis=1, dtype=np.float64)
    largest = float(np.abs(x).max(initial=0)) * float(sums.reshape(*sums.shape[:2], -1).sum(axis=-1).max(initial=0))
    return np.float32 if largest < EXACT else np.int64


def _cuts(rows: F32, x: F32, whole: bool) -> tuple[slice, ...]:
    if not whole:
        return (slice(None),)
    return stretches(rows, max(int(np.abs(x).max(initial=0)), 1))


def _cropped(total: Array, place: Scatter) -> Array:
    where = (slice(low, low + size) for (low, _), size in zip(place.pads, place.shape, strict=True))
    return total[spatial(where)]


def qlinear_accumulators(call: Call) -> Array:
    """The accumulators of a QLinearConvTranspose, bias included."""
    x, weight, bias = call.array(0), call.array(3), call.maybe(8)
    groups = call.number("group", 1)
    place = geometry(x, weight.shape, call.attributes)
    kernel = centre_transposed(weight, call.maybe(5), groups)
    way = phases if max(place.strides) > 1 else scattered
    sums = way(centre(x, call.zero_point(2, x.dtype), 1), kernel, groups, place)
    if bias is None:
        return sums
    if bias.shape != (sums.shape[1],):
        raise ModelError(f"bias {list(bias.shape)} does not fit weight {list(weight.shape)}")
    return sums.astype(np.int64) + bias.astype(np.int64).reshape(-1, *[1] * len(place.shape))


def centre_transposed(weight: Array, zero_point: Array | None, groups: int) -> F32:
    """w − Z of a (C, M/groups, …) weight; a per-channel Z has M entries, M/groups for each group."""
    if zero_point is None or zero_point.size == 1 or groups == 1:
        return centre(weight, zero_point, 1)
    parts = zip(np.split(weight, groups), np.split(zero_point, groups), strict=True)
    return np.concatenate([centre(part, zero, 1) for part, zero in parts])


def qlinear_conv_transpose(call: Call) -> tuple[Array, ...]:
    """The integer form of DequantizeLinear → ConvTranspose → QuantizeLinear, with the inputs of QLinearConv.

    ONNX has no such operator; onnxruntime computes the pattern in float.
    """
    sums, z_y = qlinear_accumulators(call), call.zero_point(7, call.array(0).dtype)
    scale = per_channel(call.array(4), sums.shape[1], sums.ndim - 2)
    return (requantised(sums, Ratio((call.scale(1), scale), (call.scale(6),)), z_y, call.rounding),)


def conv_transpose(call: Call) -> tuple[Array, ...]:
    """ConvTranspose in float32."""
    x, weight, groups = call.array(0).astype(np.float32), call.array(1), call.number("group", 1)
    place = geometry(x, weight.shape, call.attributes)
    result = scattered(x, weight.astype(np.float32), groups, place, whole=False)
    if call.has(2):
        result = result + call.array(2).reshape(-1, *[1] * len(place.shape))
    return (result,)


OPERATORS: dict[str, Operator] = {"ConvTranspose": conv_transpose, "QLinearConvTranspose": qlinear_conv_transpose}
