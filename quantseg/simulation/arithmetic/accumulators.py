"""The int32 accumulators of a product (convolution or matrix product): their possible range, and their values.

    a = b + Σ_k (x_k − Z_x) · w_k,    qmin ≤ x_k ≤ qmax
lies between b + Σ_k min(w_k (qmin − Z_x), w_k (qmax − Z_x)) and the same with max. A kernel may add the terms in any
order and subtract zero-points at the end, so its intermediate sums may reach |b| + Σ_k (|w_k| + |Z_w|) · max|x| · 2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.quantization.affine import F32
from quantseg.quantization.integer_operands import CONVOLUTIONS, PRODUCTS
from quantseg.simulation.arithmetic import convolution, matrix, transposed
from quantseg.simulation.arithmetic.call import Call
from quantseg.simulation.arithmetic.pair_sums import LEAST as LEAST_16
from quantseg.simulation.arithmetic.pair_sums import most_lost

Array = NDArray[Any]
Whole = NDArray[np.int64]

LARGEST = (1 << 31) - 1
"""The largest int32."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of each output channel's accumulator, each of shape (channels,).

    least, largest: of the final accumulator. held: the largest magnitude of an intermediate sum in a kernel.
    """

    least: Whole
    largest: Whole
    held: Whole

    def __or__(self, other: "Bounds") -> "Bounds":
        """The union of both bounds: a product of two activations may have other shapes for another image."""
        return Bounds(
            np.minimum(self.least, other.least),
            np.maximum(self.largest, other.largest),
            np.maximum(self.held, other.held),
        )

    @property
    def bits(self) -> NDArray[np.int64]:
        """For each channel, the bits of a signed integer that holds every possible accumulator."""
        widest = np.maximum(self.largest, -self.least - 1)
        return np.array([int(value).bit_length() + 1 for value in np.maximum(widest, 0)], np.int64)


def bounds(op_type: str, call: Call, *, constant: bool = True) -> Bounds:
    """The bounds that weights and zero-points imply for any image. constant: whether the second factor is a weight.

    If it is an activation, both factors may take any value of their types, and all columns count as one channel.
    """
    x = call.array(0)
    if not constant:
        return _of_two_tensors(op_type, call)
    rows, bias = weight_rows(op_type, call)
    info, zero = np.iinfo(x.dtype), int(call.zero_point(2, x.dtype))
    up, down = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    low, high = info.min - zero, info.max - zero
    smaller, larger = _lost(op_type, call)
    stored = up - down + rows.shape[1] * _largest_zero_point(op_type, call)
    held = np.abs(bias) + 2 * max(abs(info.min), abs(info.max)) * stored
    return Bounds(bias + up * low + down * high - smaller, bias + up * high + down * low + larger, held)


def _lost(op_type: str, call: Call) -> tuple[Whole, Whole]:
    """For each channel, by how much the processor's saturating sums may lie below and above the exact sums."""
    x = call.array(0)
    low, high = (0, 255) if x.dtype == np.uint8 else (-128, 127)
    if op_type in CONVOLUTIONS:
        pairs = convolution.paired(call, PRODUCTS[op_type].weight)
        if pairs is not None:
            return most_lost(pairs.rows.reshape(-1, pairs.rows.shape[2]), low, high)
    elif op_type != "QLinearConvTranspose":
        weight = call.array(PRODUCTS[op_type].weight)
        if matrix.saturates(call, x, weight):
            across = op_type == "QGemm" and bool(call.number("transB", 0))
            return most_lost((weight if across else weight.T).astype(np.float32), low, high)
    nothing = np.zeros((), np.int64)
    return nothing, nothing


def _largest_zero_point(op_type: str, call: Call) -> int:
    """The weight's largest |zero-point|: kernels multiply the stored weight and subtract the zero-point later."""
    zero = call.maybe(PRODUCTS[op_type].zero_point)
    return 0 if zero is None else int(np.abs(zero.astype(np.int64)).max(initial=0))


def _of_two_tensors(op_type: str, call: Call) -> Bounds:
    places = PRODUCTS[op_type]
    a, b = call.array(0), call.array(places.weight)
    limits = []
    for values, zero in ((a, call.maybe(2)), (b, call.maybe(places.zero_point))):
        info = np.iinfo(values.dtype)
        shift = 0 if zero is None else int(np.asarray(zero).reshape(-1)[0])
        limits.append((info.min - shift, info.max - shift))
    corners = [x * y for x in limits[0] for y in limits[1]]
    inner = a.shape[-1]
    least, largest, held = (np.full(1, inner * n) for n in (min(*corners, 0), max(*corners, 0), 2 * 255 * 255))
    lost = -(-inner // 2) * (2 * 255 * 128 + LEAST_16) if matrix.saturates(call, a, b) else 0
    return Bounds(least - lost, largest + lost, held)


def weight_rows(op_type: str, call: Call) -> tuple[Whole, Whole]:
    """The weight minus its zero-point, as (channels, inner) integers, and the bias of each channel."""
    if op_type in CONVOLUTIONS:
        weights = convolution.integer_weights(call, PRODUCTS[op_type].weight)
        rows = weights.kernel.reshape(weights.shape[0], -1).astype(np.int64)
        return rows, weights.bias
    if op_type == "QLinearConvTranspose":
        groups = call.number("group", 1)
        kernel = transposed.centre_transposed(call.array(3), call.maybe(5), groups)
        by_output = np.moveaxis(kernel.reshape(groups, -1, *kernel.shape[1:]), 2, 1)
        found = by_output.reshape(groups * kernel.shape[1], -1).astype(np.int64)
        return found, _bias(call.maybe(8), len(found))
    places = PRODUCTS[op_type]
    across = op_type == "QGemm" and bool(call.number("transB", 0))
    weight = matrix.centred(call.array(places.weight), call.maybe(places.zero_point), 0 if across else -1)
    if weight.ndim != 2:
        raise ModelError(
            f"a product of two tensors, {list(weight.shape)} the second: it has no weight for each channel"
        )
    rows = (weight if across else weight.T).astype(np.int64)
    return rows, _bias(None if places.bias is None else call.maybe(places.bias), len(rows))


def _bias(bias: Array | None, channels: int) -> Whole:
    if bias is None or bias.size not in (1, channels):
        return np.zeros(channels, np.int64)
    return np.broadcast_to(bias.reshape(-1).astype(np.int64), (channels,))


def accumulated(op_type: str, call: Call) -> Iterator[Array]:
    """The accumulators of one call as (channels, positions), chunk by chunk: whole numbers of any dtype."""
    if op_type in CONVOLUTIONS:
        index = PRODUCTS[op_type].weight
        x, weight = channels_first(call), call.array(index)
        view = convolution.geometry(x, weight.shape, call.attributes)
        zero = int(call.zero_point(2, x.dtype))
        weights, pairs = convolution.integer_weights(call, index), convolution.paired(call, index)
        for _, sums in convolution.tiles(x, zero, weights, view, pairs=pairs):
            yield sums.reshape(weight.shape[0], -1)
    elif op_type == "QLinearConvTranspose":
        sums = transposed.qlinear_accumulators(call)
        yield np.moveaxis(sums, 1, 0).reshape(sums.shape[1], -1)
    else:
        sums = _matrix_sums(op_type, call)
        yield np.moveaxis(sums, -1, 0).reshape(sums.shape[-1], -1)


def _matrix_sums(op_type: str, call: Call) -> Array:
    if op_type == "QGemm":
        return matrix.qgemm_accumulators(call)
    return matrix.matmul_accumulators(call, PRODUCTS[op_type].weight)


def channels_first(call: Call) -> Array:
    """The data input of a convolution as (N, C, …); an NHWC tensor is transposed."""
    return np.moveaxis(call.array(0), -1, 1) if call.number("channels_last", 0) else call.array(0)


def columns(op_type: str, call: Call) -> Iterator[tuple[slice, F32]]:
    """The data that the weight's rows are multiplied with, chunk by chunk: (output channels, (inner, positions)).

    The values are as stored and unsigned: 128 is added to int8 data, as kernels for uint8 times int8 do.
    """
    raw = np.asarray(channels_first(call) if op_type in CONVOLUTIONS else call.array(0))
    up = 128 if raw.dtype.kind == "i" else 0
    if op_type in CONVOLUTIONS:
        weights = convolution.integer_weights(call, PRODUCTS[op_type].weight)
        view = convolution.geometry(raw, weights.shape, call.attributes)
        padded = view.padded(raw, int(call.zero_point(2, raw.dtype))).astype(np.float32) + np.float32(up)
        each = weights.kernel.shape[1]
        for place in convolution.places(len(raw), weights, view):
            for group, part in enumerate(convolution.columns(padded, weights, view, place)):
                yield slice(group * each, (group + 1) * each), part
        return
    matrix_ = raw.astype(np.float32) + np.float32(up)
    if op_type == "QGemm" and call.number("transA", 0):
        matrix_ = matrix_.T
    yield slice(None), np.ascontiguousarray(matrix_.reshape(-1, matrix_.shape[-1]).T)
