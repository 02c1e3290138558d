"""The products that add up to one accumulator of a convolution, transposed convolution or matrix product."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from quantseg.quantization.affine import F32
from quantseg.quantization.integer_operands import PRODUCTS
from quantseg.quantization.rounding.requantisation import Ratio
from quantseg.simulation.arithmetic import Call, convolution, matrix, transposed
from quantseg.simulation.arithmetic.accumulators import channels_first
from quantseg.simulation.explaining.working import Array, Given, Term, Working, work


def explained(op_type: str, call: Call, place: tuple[int, ...], result: int) -> Working:
    """The calculation of one value of a QLinearConv, QLinearConvTranspose, QLinearMatMul or QGemm."""
    gemm = op_type == "QGemm"
    last = bool(call.number("channels_last", 0)) or op_type in ("QLinearMatMul", "QGemm")
    channel = place[-1] if last else place[1]
    places = PRODUCTS[op_type]
    scale_at, zero_at = (7, 8) if gemm else (6, 7)
    bias = None if places.bias is None else call.maybe(places.bias)
    x = call.array(0)
    terms = {
        "QLinearConv": _convolution,
        "QLinearConvTranspose": _transposed,
        "QLinearMatMul": _matrices,
        "QGemm": _matrices,
    }[op_type](call, place)
    weight_scale = call.array(4)
    s_w = np.asarray(weight_scale.reshape(-1)[channel if weight_scale.size > 1 else 0], np.float32)
    s_x = np.asarray(call.array(1).reshape(-1)[place[-2] if call.array(1).size > 1 else 0], np.float32)
    s_y = call.scale(scale_at)
    alpha = (np.asarray(call.attributes.get("alpha", 1.0), np.float32),) if gemm else ()
    return work(
        "q = clip(round((b + Σ (q_x − Z_x)(q_w − Z_w)) · S_x S_w / S_y) + Z_y)",
        tuple(terms),
        None if bias is None else _of_channel(bias, place, channel),
        Ratio((*alpha, s_x, s_w), (s_y,)),
        Given({"S_x": float(s_x), "S_w": float(s_w), "S_y": float(s_y)}, call.zero_point(zero_at, x.dtype), result),
        call.rounding,
    )


def _of_channel(bias: Array, place: tuple[int, ...], channel: int) -> int:
    """The bias of one output value: per channel, or broadcast as in QGemm."""
    if bias.size == 1:
        return int(bias.reshape(()))
    return int(
        bias[min(place[0], len(bias) - 1), channel if bias.shape[1] > 1 else 0] if bias.ndim == 2 else bias[channel]
    )


def _taken(values: Array, *place: int) -> int:
    """The value at an index, as a Python int."""
    return int(values[place])


def _convolution(call: Call, place: tuple[int, ...]) -> Iterator[Term]:
    x, weight, last = channels_first(call), call.array(3), bool(call.number("channels_last", 0))
    image, channel, *pixel = (place[0], place[-1], *place[1:-1]) if last else place
    view = convolution.geometry(x, weight.shape, call.attributes)
    zero, centred = int(call.zero_point(2, x.dtype)), convolution.centre(weight, call.maybe(5), 0)
    first = channel // (weight.shape[0] // call.number("group", 1)) * weight.shape[1]
    for number in range(weight.shape[1]):
        for tap in view.taps():
            at = [
                i * stride + step * dilation - low
                for i, stride, step, dilation, (low, _) in zip(
                    pixel, view.strides, tap, view.dilations, view.pads, strict=True
                )
            ]
            inside = all(0 <= i < size for i, size in zip(at, x.shape[2:], strict=True))
            stored = _taken(x, image, first + number, *at) if inside else zero
            where = f"channel {first + number}, pixel {tuple(at)}" if inside else "border"
            yield Term(where, stored, stored - zero, _taken(centred, channel, number, *tap))


def _transposed(call: Call, place: tuple[int, ...]) -> Iterator[Term]:
    x, weight, groups = call.array(0), call.array(3), call.number("group", 1)
    image, channel, *pixel = place
    scatter = transposed.geometry(x, weight.shape, call.attributes)
    zero, kernel = int(call.zero_point(2, x.dtype)), transposed.centre_transposed(weight, call.maybe(5), groups)
    each = x.shape[1] // groups
    group, output = divmod(channel, weight.shape[1])
    for number, tap in product(range(group * each, (group + 1) * each), np.ndindex(scatter.kernel)):
        found = [
            divmod(i + low - step * dilation, stride)
            for i, (low, _), step, dilation, stride in zip(
                pixel, scatter.pads, tap, scatter.dilations, scatter.strides, strict=True
            )
        ]
        if all(rest == 0 and 0 <= i < size for (i, rest), size in zip(found, x.shape[2:], strict=True)):
            at = tuple(i for i, _ in found)
            stored = _taken(x, image, number, *at)
            yield Term(f"channel {number}, pixel {at}", stored, stored - zero, _taken(kernel, number, output, *tap))


def _matrices(call: Call, place: tuple[int, ...]) -> Iterator[Term]:
    a, b = call.array(0), call.array(3)
    left: F32 = matrix.centred(a, call.maybe(2), -2)
    across = bool(call.number("transB", 0))
    right: F32 = matrix.centred(b, call.maybe(5), 0 if across else -1)
    if call.number("transA", 0):
        a, left = a.T, left.T
    right = right.T if across else right
    row = tuple(i if n > 1 else 0 for i, n in zip(place[-a.ndim : -1], a.shape[:-1], strict=True))
    column = tuple(i if n > 1 else 0 for i, n in zip(place[:-2][-(right.ndim - 2) :], right.shape[:-2], strict=False))
    for k in range(a.shape[-1]):
        yield Term(f"k {k}", _taken(a, *row, k), _taken(left, *row, k), _taken(right, *column, k, place[-1]))
