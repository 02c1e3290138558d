"""What int32 accumulators can become, and sums of two products that 16 bits do not hold, beside counting one by one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.errors import ModelError
from quantseg.simulation.arithmetic import Call
from quantseg.simulation.arithmetic.accumulators import accumulated, bounds
from quantseg.simulation.arithmetic.saturation import count, possible, saturation
from tests.support.operators import Array, call, integers, judged

F = np.float32
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from([(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8), (np.int8, np.uint8)])


@dataclass(frozen=True)
class Product:
    """An operator with a weight, and how its input is laid out.

    fields[m]: where in the input the factors of output channel m's weights lie, in the order of `weights[m]`. at: where
    in the accumulators (channels, many) they meet.
    """

    op_type: str
    x: Array
    x_zero: Array
    weight: Array
    w_zero: Array
    bias: Array | None
    attributes: dict[str, Any]
    weights: Array
    fields: list[Any]
    at: int

    def call(self, x: Array) -> Call:
        one = F(1)
        if self.op_type in ("ConvInteger", "MatMulInteger"):
            return call(x, self.weight, self.x_zero, self.w_zero, **self.attributes)
        if self.op_type == "QGemm":
            operands = x, one, self.x_zero, self.weight, one, self.w_zero, self.bias, one, self.x_zero
            return call(*operands, **self.attributes)
        rest = () if self.op_type == "QLinearMatMul" else (self.bias,)
        operands = x, one, self.x_zero, self.weight, one, self.w_zero, one, self.x_zero, *rest
        return call(*operands, **self.attributes)

    def sums(self, x: Array) -> Array:
        """All accumulators of an input, (channels, many)."""
        return np.concatenate([part.astype(np.int64) for part in accumulated(self.op_type, self.call(x))], axis=1)


CONVOLVING = ("QLinearConv", "ConvInteger", "QLinearConvTranspose")


@st.composite
def products(
    draw: st.DrawFn, op_types: tuple[str, ...] = (*CONVOLVING, "MatMulInteger", "QLinearMatMul", "QGemm")
) -> Product:
    """Small ones of each type, over an input as large as their window."""
    op_type = draw(st.sampled_from(op_types))
    kind, weight_kind = draw(kinds)
    random = np.random.default_rng(draw(seeds))
    x_zero, w_zero = integers(random, kind, ()), integers(random, weight_kind, ())
    sizes = tuple(draw(st.lists(st.integers(1, 3), min_size=2, max_size=2)))
    groups, outputs, inner = draw(st.sampled_from([1, 1, 2, 3])), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    channels = groups * outputs
    attributes: dict[str, Any] = {}
    if "Conv" in op_type:
        attributes["group"] = groups
        shape = (1, groups * inner, *sizes)
        if op_type == "QLinearConvTranspose":
            weight = integers(random, weight_kind, (groups * inner, outputs, *sizes))
            turned = weight.reshape(groups, inner, outputs, *sizes)[..., ::-1, ::-1]
            weights = np.moveaxis(turned, 2, 1).reshape(channels, -1)
            at = (sizes[0] - 1) * (2 * sizes[1] - 1) + sizes[1] - 1  # where all of the kernel meets all of the image
        else:
            weight = integers(random, weight_kind, (channels, inner, *sizes))
            weights, at = weight.reshape(channels, -1), 0
        groups_of = [(0, slice(m // outputs * inner, (m // outputs + 1) * inner)) for m in range(channels)]
        fields: list[Any] = groups_of
    else:
        channels, at = outputs, 0
        across = op_type == "QGemm" and draw(st.booleans())
        attributes |= {"transB": int(across)} if op_type == "QGemm" else {}
        weight = integers(random, weight_kind, (outputs, inner) if across else (inner, outputs))
        weights, shape, fields = (weight if across else weight.T), (1, inner), [0] * outputs
    has_bias = op_type in ("QLinearConv", "QLinearConvTranspose", "QGemm") and draw(st.booleans())
    bias = random.integers(-(1 << 20), 1 << 20, channels).astype(np.int32) if has_bias else None
    x, centred = integers(random, kind, shape), weights.astype(np.int64) - int(w_zero)
    return Product(op_type, x, x_zero, weight, w_zero, bias, attributes, centred, fields, at)


@settings(max_examples=100, deadline=None)
@given(products())
def test_bounds_are_attained_by_the_input_that_has_each_weights_sign(product: Product) -> None:
    found, info = bounds(product.op_type, product.call(product.x)), np.iinfo(product.x.dtype)
    for channel, (row, field) in enumerate(zip(product.weights, product.fields, strict=True)):
        for wanted, (up, down) in ((found.largest, (info.max, info.min)), (found.least, (info.min, info.max))):
            x = product.x.copy()
            x[field] = np.where(row > 0, up, down).reshape(x[field].shape)
            assert product.sums(x)[channel, product.at] == wanted[channel]


@settings(max_examples=100, deadline=None)
@given(products(), seeds)
def test_no_input_exceeds_the_bounds(product: Product, seed: int) -> None:
    random, info = np.random.default_rng(seed), np.iinfo(product.x.dtype)
    found = bounds(product.op_type, product.call(product.x))
    for _ in range(5):
        ends = random.choice([info.min, info.max], product.x.shape).astype(product.x.dtype)
        sums = product.sums(random.choice([ends, integers(random, product.x.dtype, product.x.shape)]))
        assert (sums >= found.least[:, None]).all()
        assert (sums <= found.largest[:, None]).all()


@settings(max_examples=60, deadline=None)
@given(products(CONVOLVING), st.integers(2, 4), seeds)
def test_strides_and_pads_exceed_no_bounds(product: Product, stride: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (2, product.x.shape[1], *(size + 4 for size in product.x.shape[2:]))
    attributes = product.attributes | {"strides": [stride, 1], "pads": [1, 0, 0, 1]}
    strided = Product(**vars(product) | {"attributes": attributes, "x": integers(random, product.x.dtype, shape)})
    found, sums = bounds(product.op_type, strided.call(strided.x)), strided.sums(strided.x)
    assert (sums >= found.least[:, None]).all()
    assert (sums <= found.largest[:, None]).all()


@settings(max_examples=100, deadline=None)
@given(products())
def test_the_bits_suffice_and_one_less_does_not(product: Product) -> None:
    found = bounds(product.op_type, product.call(product.x))
    for least, largest, bits in zip(found.least.tolist(), found.largest.tolist(), found.bits.tolist(), strict=True):
        assert -(1 << (bits - 1)) <= least <= largest < 1 << (bits - 1)
        assert bits == 1 or not -(1 << (bits - 2)) <= least <= largest < 1 << (bits - 2)


@settings(max_examples=60, deadline=None)
@given(kinds, st.integers(1, 5), seeds)
def test_bounds_of_two_tensors_are_attained(kinds_: tuple[Any, Any], inner: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    (left, right), zeros = kinds_, [integers(random, kind, ()) for kind in kinds_]
    ends = [[np.iinfo(kind).min, np.iinfo(kind).max] for kind in (left, right)]
    pairs = [(np.full((1, inner), a, left), np.full((inner, 2), b, right)) for a in ends[0] for b in ends[1]]
    every = [call(a, b, *zeros) for a, b in pairs]
    sums = np.stack([np.concatenate(list(accumulated("MatMulInteger", one)), 1) for one in every])
    found = bounds("MatMulInteger", every[0], constant=False)
    np.testing.assert_array_equal(found.largest, [max(sums.max(), 0)])  # all columns are one channel
    np.testing.assert_array_equal(found.least, [min(sums.min(), 0)])


def test_a_product_of_two_tensors_of_images_has_no_weight_for_each_channel() -> None:
    with pytest.raises(ModelError, match=r"a product of two tensors, \[2, 3, 4\] the second"):
        bounds("MatMulInteger", call(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 4), np.int8)))


CONVOLUTIONS = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(CONVOLUTIONS, st.booleans(), seeds)
def test_accumulators_are_onnxruntimes_conv_integer(shape: tuple[int, ...], last: bool, seed: int) -> None:
    random, (groups, inner, outputs, size, pad) = np.random.default_rng(seed), shape
    x = integers(random, np.uint8, (2, groups * inner, 5, 4))
    weight = integers(random, np.int8, (groups * outputs, inner, size, size))
    attributes = {"group": groups, "pads": [pad, 0, pad, 1]}
    x_zero, bias = integers(random, np.uint8, ()), random.integers(-9999, 9999, len(weight)).astype(np.int32)
    (expected,) = judged("ConvInteger", x, weight, x_zero, **attributes)
    flat = np.moveaxis(expected, 1, 0).reshape(len(weight), -1)
    found = list(accumulated("ConvInteger", call(x, weight, x_zero, **attributes)))
    np.testing.assert_array_equal(np.concatenate(found, axis=1), flat)
    laid = np.ascontiguousarray(np.moveaxis(x, 1, -1)) if last else x
    one, attributes = F(1), attributes | {"channels_last": int(last)}
    whole = call(laid, one, x_zero, weight, one, np.int8(0), one, np.uint8(0), bias, **attributes)
    np.testing.assert_array_equal(np.concatenate(list(accumulated("QLinearConv", whole)), axis=1), flat + bias[:, None])


def by_hand(rows: Array, values: Array) -> tuple[list[int], list[int]]:
    """Saturated pair sums, and results with one, of each row: one after the other, in Python's integers."""
    pairs, results = [0] * len(rows), [0] * len(rows)
    for m, row in enumerate(rows.tolist()):
        for column in values.T.tolist():
            products = [w * x for w, x in zip(row, column, strict=True)] + [0]
            sums = [products[i] + products[i + 1] for i in range(0, len(row), 2)]
            hit = sum(not -32768 <= s <= 32767 for s in sums)
            pairs[m] += hit
            results[m] += hit > 0
    return pairs, results


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 12), st.integers(40, 128), seeds)
def test_saturated_pairs_are_counted_as_by_hand(rows: int, inner: int, many: int, limit: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    weights, values = integers(random, np.int8, (rows, inner), limit), random.integers(100, 256, (inner, many))
    pairs, results = count(weights.astype(F), values.astype(F))
    assert (pairs.tolist(), results.tolist()) == by_hand(weights, values)
    may = possible(weights.astype(F))
    assert not pairs[~may].any()
    signs = [np.where(np.sign(weights) == sign, 255, 0) for sign in (-1, 1)]  # an image for each row that tries it
    most = [sum(by_hand(weights[m : m + 1], v[m][:, None])[0][0] for v in signs) for m in range(rows)]
    assert may.tolist() == [hit > 0 for hit in most]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([np.uint8, np.int8]), CONVOLUTIONS, st.booleans(), seeds)
def test_saturation_of_a_convolution_is_that_of_its_windows(
    kind: Any, shape: tuple[int, ...], last: bool, seed: int
) -> None:
    """Neighbours are channels at one place of the kernel; int8 is moved up by 128, a border is the zero-point."""
    random, (groups, inner, outputs, size, pad) = np.random.default_rng(seed), shape
    inner += inner == 1  # else depthwise
    info = np.iinfo(kind)
    x = random.integers(info.max - 100, info.max + 1, (2, groups * inner, 5, 4)).astype(kind)
    zero = random.choice([info.min, info.max, (info.min + info.max + 1) // 2]).astype(kind)
    weight = integers(random, np.int8, (groups * outputs, inner, size, size))
    laid = np.ascontiguousarray(np.moveaxis(x, 1, -1)) if last else x
    one, attributes = F(1), {"group": groups, "pads": [pad, pad, pad, pad], "channels_last": int(last)}
    found = saturation("QLinearConv", call(laid, one, zero, weight, one, np.int8(0), one, zero, **attributes))
    assert found is not None
    around = np.pad(x.astype(int), [(0, 0), (0, 0), (pad, pad), (pad, pad)], constant_values=int(zero)) - info.min
    windows = [
        around[n, :, i : i + size, j : j + size]
        for n in range(2) for i in range(around.shape[2] - size + 1) for j in range(around.shape[3] - size + 1)
    ]  # fmt: skip
    expected: tuple[list[int], list[int]] = ([], [])
    for m, kernel in enumerate(weight):
        seen = slice(m // outputs * inner, (m // outputs + 1) * inner)
        columns = np.stack([np.moveaxis(window[seen], 0, -1).reshape(-1) for window in windows], axis=1)
        for part, hits in zip(expected, by_hand(np.moveaxis(kernel, 0, -1).reshape(1, -1), columns), strict=True):
            part += hits
    assert (found.pairs.tolist(), found.results.tolist()) == expected
    assert found.sums == len(weight) * len(windows) * -(-inner * size * size // 2)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["MatMulInteger", "QLinearMatMul", "QGemm"]), st.booleans(), st.booleans(), seeds)
def test_saturation_of_a_matrix_product_is_that_of_its_columns(
    op_type: str, across_a: bool, across_b: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    a, b = integers(random, np.uint8, (4, 7)) | np.uint8(128), integers(random, np.int8, (7, 5))
    one, zero, centre = F(1), np.uint8(9), np.int8(0)
    if op_type == "MatMulInteger":
        made = call(a, b, zero, centre)
    elif op_type == "QLinearMatMul":
        made = call(a, one, zero, b, one, centre, one, zero)
    else:
        left, right = np.ascontiguousarray(a.T) if across_a else a, np.ascontiguousarray(b.T) if across_b else b
        operands = left, one, zero, right, one, centre, None, one, zero
        made = call(*operands, transA=int(across_a), transB=int(across_b))
    found = saturation(op_type, made)
    assert found is not None
    assert (found.pairs.tolist(), found.results.tolist()) == by_hand(b.T, a.T)
    twice = found + found
    assert (twice.pairs.tolist(), twice.sums) == ((2 * found.pairs).tolist(), 2 * found.sums)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([np.uint8, np.int8]), seeds)
def test_weights_of_seven_bits_saturate_nowhere(kind: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, weight = np.full((1, 6, 4, 4), np.iinfo(kind).max, kind), random.choice([-64, 64], (3, 6, 2, 2)).astype(np.int8)
    found = saturation("ConvInteger", call(x, weight))
    assert found is not None
    assert not found.pairs.any()
    assert not found.possible.any()
    weight[1, :2, 0, 0] = 65, 64
    found = saturation("ConvInteger", call(x, weight))
    assert found is not None
    assert found.possible.tolist() == [False, True, False]
    assert found.pairs[1] == 9
    assert found.results.tolist() == [0, 9, 0]


def test_kernels_that_add_no_pairs_in_16_bits_have_no_saturation() -> None:
    x, one, zero = np.zeros((1, 4, 3, 3), np.uint8), F(1), np.uint8(0)
    depthwise, wide = np.ones((4, 1, 3, 3), np.int8), np.ones((4, 4, 3, 3), np.uint8)
    assert saturation("ConvInteger", call(x, depthwise, group=4)) is None
    assert saturation("QLinearConv", call(x, one, zero, depthwise, one, np.int8(0), one, zero, group=4)) is None
    assert saturation("ConvInteger", call(x, wide)) is None
    turned = call(x, one, zero, wide.view(np.int8), one, np.int8(0), one, zero)
    assert saturation("QLinearConvTranspose", turned) is None
    assert saturation("MatMulInteger", call(x[0, 0], np.ones((3, 2), np.uint8))) is None
    grouped = call(x, np.ones((4, 2, 3, 3), np.int8), group=2)
    assert saturation("ConvInteger", grouped) is not None
