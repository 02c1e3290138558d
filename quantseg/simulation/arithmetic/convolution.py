"""Integer convolutions, with access to their int32 accumulators.

    a[n, m, y, x] = b[m] + Σ_c,u,v (q[n, c, s·y + d·u − p, s·x + d·v − p] − Z_x) · (w[m, c, u, v] − Z_w)

Padding holds Z_x, which stands for 0. Windows are gathered tile by tile into a matrix (im2col) and multiplied exactly
through BLAS; depthwise convolutions multiply and add one kernel position after the other. Source: ONNX, QLinearConv.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.quantization.affine import F32, Ints
from quantseg.quantization.rounding.requantisation import Ratio, requantised
from quantseg.simulation.arithmetic.call import Call, Operator
from quantseg.simulation.arithmetic.pair_sums import saturated
from quantseg.simulation.arithmetic.products import EXACT, product, stretches
from quantseg.simulation.arithmetic.sizes import checked
from quantseg.simulation.arithmetic.windows import Windows, windows
from quantseg.simulation.arithmetic.workers import count, side_by_side

Array = NDArray[Any]
Place = tuple[slice, slice, slice]
"""Where a tile lies in the result: slices of images, output channels and rows."""

TILE = 1 << 20
"""Most values in one tile's matrix: 4 MB of float32; a larger matrix does not fit the processor's caches."""
SMALL = 1 << 17
"""An image whose whole matrix has fewer values than this is computed on one thread: more do not pay."""


@dataclass(frozen=True)
class Filter:
    """Integer weights minus their zero-point, as matrices for BLAS.

    kernel: (groups, outputs, inner) whole numbers; inner axis: kernel positions, then channels (fastest). bias: int64,
    (groups · outputs,). total, size: Σ w and Σ |w| of each output channel. shape: the ONNX weight's, (M, C/groups, …).
    """

    kernel: F32
    bias: NDArray[np.int64]
    total: NDArray[np.int64]
    size: NDArray[np.int64]
    shape: tuple[int, ...]
    groups: int


def filter_of(weight: Array, zero_point: Array | None, bias: Array | None, groups: int) -> Filter:
    """The Filter of an ONNX weight (M, C/groups, …). Raises ModelError where groups or bias do not fit it."""
    outputs, channels = weight.shape[:2]
    if groups < 1 or outputs % groups:
        raise ModelError(f"weight {list(weight.shape)} does not split into {groups} groups")
    if bias is not None and bias.shape != (outputs,):
        raise ModelError(f"bias {list(bias.shape)} does not fit weight {list(weight.shape)}")
    centred = centre(weight, zero_point, 0)
    kernel = np.moveaxis(centred.reshape(groups, outputs // groups, channels, -1), 2, 3)
    kernel = np.ascontiguousarray(kernel.reshape(groups, outputs // groups, -1))
    added = np.zeros(outputs, np.int64) if bias is None else bias.astype(np.int64)
    total, size = (w.sum(axis=-1, dtype=np.float64).reshape(-1).astype(np.int64) for w in (kernel, np.abs(kernel)))
    return Filter(kernel, added, total, size, weight.shape, groups)


def centre(values: Array, zero_point: Array | None, axis: int) -> F32:
    """q − Z in float32, exactly; a per-channel Z lies along `axis`."""
    single = values.astype(np.float32)
    if zero_point is None or not zero_point.any():
        return single
    zero = zero_point.astype(np.float32)
    if zero.size > 1:
        if zero.shape != (values.shape[axis],):
            raise ModelError(f"zero-points {list(zero.shape)} do not fit {list(values.shape)}")
        zero = zero.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return single - (zero.reshape(()) if zero.size == 1 else zero)


def geometry(x: Array, weight_shape: Sequence[int], attributes: Mapping[str, Any]) -> Windows:
    """The windows of a convolution. Raises ModelError where image and weight do not fit."""
    groups = int(attributes.get("group", 1))
    if x.ndim != len(weight_shape) or x.ndim < 3:
        raise ModelError(f"input {list(x.shape)} and weight {list(weight_shape)} do not fit: axes differ")
    if x.shape[1] != weight_shape[1] * groups:
        raise ModelError(
            f"input {list(x.shape)} and weight {list(weight_shape)} do not fit: {x.shape[1]} channels, and the weight "
            f"takes {weight_shape[1] * groups}"
        )
    kernel = attributes.get("kernel_shape") or weight_shape[2:]
    if tuple(kernel) != tuple(weight_shape[2:]):
        raise ModelError(f"kernel_shape {list(kernel)} and weight {list(weight_shape)} do not fit")
    return windows(x.shape[2:], kernel, attributes)


@dataclass(frozen=True)
class Paired:
    """A weight whose products a kernel adds two at a time in 16 bits, which saturate.

    rows: the stored weight, (groups, outputs, inner), the two of a pair adjacent. up: what is added to the gathered
    data, from which 128 was subtracted, to get the stored values again. order: permutation of the Filter's inner axis
    that puts pairs side by side; None if they already are.
    """

    rows: F32
    up: int = 128
    order: NDArray[np.int64] | None = None

    def saturated(self, sums: Array, gathered: F32) -> Array:
        """The kernel's saturated sums from the exact ones.

        sums: (groups, outputs, pixels); gathered: (groups, inner, pixels).
        """
        parts = list(sums)
        found = [
            saturated(part, rows, (factors if self.order is None else factors[self.order]) + np.float32(self.up))
            for part, rows, factors in zip(parts, self.rows, gathered, strict=True)
        ]
        return sums if all(one is part for one, part in zip(found, parts, strict=True)) else np.stack(found)


def paired(call: Call, index: int) -> Paired | None:
    """The weight of a QLinearConv (index 3) or ConvInteger (index 1) if pairs of its products may saturate, else None.

    QLinearConv computes data · weight with channels innermost, and saturates for uint8 data and int8 weights; its
    depthwise kernel adds in 32 bits. ConvInteger computes weight · data with kernel positions innermost, and saturates
    for uint8 weights and int8 data. onnxruntime has no such kernel for int8 times int8.
    Source: qlinearconv.cc, conv_integer.cc.
    """
    weight, groups, turned = call.array(index), call.number("group", 1), index == 1
    unsigned, signed = (weight, call.array(0)) if turned else (call.array(0), weight)
    alone = not turned and weight.shape[1] == 1 and groups == len(weight)
    if not call.processor.saturates or unsigned.dtype != np.uint8 or signed.dtype != np.int8 or alone:
        return None
    rows = filter_of(weight, None, None, groups).kernel
    if not turned:
        return Paired(rows)
    order = np.arange(rows.shape[2]).reshape(-1, weight.shape[1]).T.reshape(-1)
    return Paired(np.ascontiguousarray(rows[:, :, order]), 0, order)


def as_they_are(sums: Array) -> Array:
    """The accumulators themselves."""
    return sums


def tiles(
    x: Ints,
    zero_point: int,
    weights: Filter,
    view: Windows,
    finish: Callable[[Array], Array] = as_they_are,
    *,
    pairs: Paired | None = None,
) -> Iterator[tuple[Place, Array]]:
    """The accumulators, tile by tile: a tile's slices of (N, M, rows, …), and its values as exact whole numbers.

    finish: applied to a tile's accumulators, (1, M, rows, …), in the thread that computed them. pairs: the weight, if
    the kernel's pair sums saturate. Instead of Z_x the middle of x's type is subtracted from x, and the bias corrected
    for it: so no factor exceeds 128, and more products fit an exact float32 sum.
    """
    middle = 0 if x.dtype.kind == "i" else 128
    bias = weights.bias + (middle - zero_point) * weights.total
    largest = max(abs(np.iinfo(x.dtype).min - middle), abs(np.iinfo(x.dtype).max - middle))
    small = bool((weights.size * largest + np.abs(bias)).max(initial=0) < EXACT)
    cuts = (slice(None),) if small else stretches(weights.kernel, largest)
    added = bias.astype(np.float32 if small else np.int64).reshape(-1, *[1] * len(view.shape))
    padded = view.padded(x, zero_point).astype(np.float32)
    if middle:
        padded -= np.float32(middle)

    def computed(place: Place) -> tuple[Place, Array]:
        gathered = columns(padded, weights, view, place)
        found: Array = product(weights.kernel, gathered, cuts)
        found = found if pairs is None else pairs.saturated(found, gathered)
        found = found.reshape(1, weights.shape[0], -1, *view.shape[1:])
        sums: Array = found if small else found.astype(np.int64, copy=False)
        sums += added.astype(sums.dtype, copy=False)
        return place, finish(sums)

    return side_by_side(computed, places(len(x), weights, view))


def places(images: int, weights: Filter, view: Windows) -> Iterator[Place]:
    """Splits the result into tiles: rows of one image, few enough to fit the caches and to occupy every thread."""
    checked((images, weights.shape[0], *view.shape))
    inner = max(weights.groups * weights.kernel.shape[2] * math.prod(view.shape[1:]), 1)
    rows = view.shape[0] if inner * view.shape[0] < SMALL else -(-view.shape[0] // count())
    rows = max(1, min(rows, TILE // inner))
    for image in range(images):
        for start in range(0, view.shape[0], rows):
            yield slice(image, image + 1), slice(None), slice(start, min(start + rows, view.shape[0]))


def columns(padded: F32, weights: Filter, view: Windows, place: Place) -> F32:
    """The windows of some rows of a padded image as a matrix (groups, inner, pixels)."""
    return _gathered(padded[place[0].start], weights, view, place[2])


def _gathered(image: F32, weights: Filter, view: Windows, rows: slice) -> F32:
    """im2col of one image: (C, …) → (groups, kernel positions · channels, pixels)."""
    channels, places = image.shape[0], math.prod(view.kernel)
    shape = (rows.stop - rows.start, *view.shape[1:])
    if places == 1 and weights.groups == 1:
        found = image[view.seen_by((0,) * len(view.kernel), rows)]
        return np.ascontiguousarray(found).reshape(1, channels, -1)
    columns = np.empty((weights.groups, places, channels // weights.groups, *shape), np.float32)
    grouped = image.reshape(weights.groups, -1, *image.shape[1:])
    for number, tap in enumerate(view.taps()):
        columns[:, number] = grouped[view.seen_by(tap, rows)]
    return columns.reshape(weights.groups, places * (channels // weights.groups), -1)


def integer_weights(call: Call, index: int) -> Filter:
    """The Filter of a QLinearConv (index 3) or ConvInteger (index 1)."""
    zero = call.maybe(5 if index == 3 else 3)
    return filter_of(call.array(index), zero, call.maybe(8) if index == 3 else None, call.number("group", 1))


def qlinear_conv(call: Call) -> tuple[Array, ...]:
    """QLinearConv, and com.microsoft's QLinearConv, which may be NHWC."""
    last = bool(call.number("channels_last", 0))
    x = np.moveaxis(call.array(0), -1, 1) if last else call.array(0)
    weight, z_y = call.array(3), call.zero_point(7, x.dtype)
    view = geometry(x, weight.shape, call.attributes)
    ratio = Ratio((call.scale(1), per_channel(call.array(4), weight.shape[0], len(view.shape))), (call.scale(6),))
    result = np.empty((len(x), weight.shape[0], *view.shape), z_y.dtype)

    def finish(sums: Array) -> Array:
        return requantised(sums, ratio, z_y, call.rounding)

    weights, pairs = integer_weights(call, 3), paired(call, 3)
    for place, found in tiles(x, int(call.zero_point(2, x.dtype)), weights, view, finish, pairs=pairs):
        result[place] = found
    return (np.ascontiguousarray(np.moveaxis(result, 1, -1)) if last else result,)


def per_channel(scale: Array, channels: int, axes: int) -> F32:
    """A per-tensor or per-channel scale as (channels, 1, …). Raises ModelError for any other number of scales."""
    if scale.size not in (1, channels):
        raise ModelError(f"{scale.size} scales for {channels} channels")
    return scale.astype(np.float32).reshape(() if scale.size == 1 else (channels, *[1] * axes))


def conv_integer(call: Call) -> tuple[Array, ...]:
    """ConvInteger: the int32 accumulators themselves."""
    x = call.array(0)
    view = geometry(x, call.array(1).shape, call.attributes)
    result = np.empty((len(x), call.array(1).shape[0], *view.shape), np.int32)
    weights, pairs = integer_weights(call, 1), paired(call, 1)
    for place, sums in tiles(x, int(call.zero_point(2, x.dtype)), weights, view, pairs=pairs):
        result[place] = sums.astype(np.int64)
    return (result,)


def conv(call: Call) -> tuple[Array, ...]:
    """Conv in float32."""
    x, weight, bias = call.array(0).astype(np.float32), call.array(1), call.maybe(2)
    view = geometry(x, weight.shape, call.attributes)
    kernel = filter_of(weight, None, None, call.number("group", 1))
    result = np.empty((len(x), weight.shape[0], *view.shape), np.float32)
    padded = view.padded(x, 0)
    for place in places(len(x), kernel, view):
        found = np.matmul(kernel.kernel, columns(padded, kernel, view, place))
        result[place] = found.reshape(weight.shape[0], -1, *view.shape[1:])
    if bias is not None:
        if bias.shape != weight.shape[:1]:
            raise ModelError(f"bias {list(bias.shape)} does not fit weight {list(weight.shape)}")
        result += bias.reshape(-1, *[1] * len(view.shape))
    return (result,)


OPERATORS: dict[str, Operator] = {"Conv": conv, "ConvInteger": conv_integer, "QLinearConv": qlinear_conv}
