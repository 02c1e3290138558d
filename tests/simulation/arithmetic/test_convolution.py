"""Convolutions of integers in the simulator: onnxruntime's numbers, every one, and sums that are exact at any size."""

from dataclasses import dataclass
from itertools import product as combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.errors import ModelError
from quantseg.simulation.arithmetic.convolution import filter_of, geometry, tiles
from quantseg.simulation.arithmetic.products import EXACT, product, stretches
from tests.support.operators import Array, assert_as_onnxruntime, assert_equal, integers, judged, simulated

KINDS = [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)]
"""Activations and weights that onnxruntime convolves together."""


@dataclass(frozen=True)
class Shapes:
    """An image (N, C, …), a weight (M, C/groups, …), and attributes that fit them."""

    image: tuple[int, ...]
    weight: tuple[int, ...]
    attributes: dict[str, Any]


@st.composite
def shapes(draw: st.DrawFn, axes: tuple[int, ...] = (1, 2, 2, 2, 3), *, automatic: bool = True) -> Shapes:
    """Any kernel with any strides, dilations and pads, automatic ones too, over images from the smallest that fit."""
    count = draw(st.sampled_from(axes))
    kernel, strides, dilations = (
        draw(st.lists(st.integers(1, most), min_size=count, max_size=count)) for most in (4, 3, 3)
    )
    groups = draw(st.sampled_from([1, 1, 2, 3, 16]))
    each = draw(st.integers(1, 3 if groups > 1 else 20))
    inner = 1 if draw(st.booleans()) else draw(st.integers(1, 3))
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": groups}
    modes = ["pads", "pads", "none", "SAME_UPPER", "SAME_LOWER", "VALID"]
    mode = draw(st.sampled_from(modes if automatic else modes[:3]))
    if mode.startswith("SAME"):
        attributes["dilations"] = dilations = [1] * count  # onnxruntime refuses others
    pads = [draw(st.integers(0, 3)) if mode == "pads" else 0 for _ in range(2 * count)]
    if mode == "pads":
        attributes["pads"] = pads
    elif mode != "none":
        attributes["auto_pad"] = mode
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    least = [max(1, far - pads[i] - pads[i + count]) for i, far in enumerate(reach)]
    sizes = [draw(st.integers(1 if mode.startswith("SAME") else size, size + 5)) for size in least]
    batch = draw(st.integers(1, 2))
    return Shapes((batch, groups * inner, *sizes), (groups * each, inner, *kernel), attributes)


def zero_point(random: np.random.Generator, kind: Any) -> Array:
    """Any integer of the type, its ends often."""
    info = np.iinfo(kind)
    return np.asarray(random.choice([info.min, info.max, 0, random.integers(info.min, info.max + 1)]), kind)


def scales(random: np.random.Generator, count: int | None = None) -> Array:
    """Scales between 0.001 and 0.1; one, or one for each channel."""
    return np.asarray(np.exp(random.uniform(np.log(1e-3), np.log(0.1), count)), np.float32)


def operands(case: Shapes, kinds: tuple[Any, Any], seed: int) -> list[Array | None]:
    """Those of a QLinearConv; the scale of the result is one that spreads its numbers."""
    random, (kind, weight_kind) = np.random.default_rng(seed), kinds
    outputs, per_channel = case.weight[0], bool(random.integers(2))
    x, weight = integers(random, kind, case.image), integers(random, weight_kind, case.weight)
    x_scale, x_zero = scales(random), zero_point(random, kind)
    w_scale = scales(random, outputs if per_channel else None)
    signed_centre = weight_kind == np.int8 and per_channel
    w_zero = np.zeros((), np.int8) if signed_centre else zero_point(random, weight_kind)
    (sums,) = simulated("ConvInteger", x, weight, x_zero, w_zero, **case.attributes)
    largest = float(x_scale) * float(w_scale.mean()) * max(int(np.abs(sums.astype(np.int64)).max()), 1)
    y_scale = np.asarray(largest / random.uniform(60, 300), np.float32)
    bias = random.integers(-20000, 20000, outputs).astype(np.int32) if random.integers(2) else None
    zeros = np.broadcast_to(w_zero, w_scale.shape)
    return [x, x_scale, x_zero, weight, w_scale, zeros, y_scale, zero_point(random, kind), bias]


seeds = st.integers(0, 2**32 - 1)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(shapes(), st.sampled_from(KINDS), seeds)
def test_qlinear_conv_is_onnxruntimes(case: Shapes, kinds: tuple[Any, Any], seed: int) -> None:
    assert_as_onnxruntime("QLinearConv", *operands(case, kinds, seed), **case.attributes)


@settings(max_examples=60, deadline=None)
@given(shapes((1, 2)), st.sampled_from(KINDS), seeds)
def test_channels_last_is_the_same_convolution(case: Shapes, kinds: tuple[Any, Any], seed: int) -> None:
    x, *rest = operands(case, kinds, seed)
    (plain,) = simulated("QLinearConv", x, *rest, **case.attributes)
    moved = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    assert_as_onnxruntime("QLinearConv", moved, *rest, channels_last=1, **case.attributes)
    (last,) = simulated("QLinearConv", moved, *rest, channels_last=1, **case.attributes)
    assert_equal([np.moveaxis(last, -1, 1)], [plain])


@settings(max_examples=100, deadline=None)
@given(shapes(), st.sampled_from([*KINDS, (np.int8, np.uint8)]), seeds)
def test_conv_integer_is_onnxruntimes(case: Shapes, kinds: tuple[Any, Any], seed: int) -> None:
    x, _, x_zero, weight, _, w_zero, *_ = operands(case, kinds, seed)
    assert_as_onnxruntime("ConvInteger", x, weight, x_zero, w_zero.reshape(-1)[0], **case.attributes)


@settings(max_examples=60, deadline=None)
@given(shapes(), seeds)
def test_a_float_convolution_is_onnxruntimes_but_for_the_order_of_its_sums(case: Shapes, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, weight = (random.normal(size=shape).astype(np.float32) for shape in (case.image, case.weight))
    given_ = [x, weight, random.normal(size=len(weight)).astype(np.float32)][: random.integers(2, 4)]
    (found,), (expected,) = (run("Conv", *given_, **case.attributes) for run in (simulated, judged))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def by_hand(x: Array, weight: Array, attributes: dict[str, Any]) -> Array:
    """Σ x · w in int64, window by window. x and w without their zero-points."""
    axes, groups = x.ndim - 2, attributes.get("group", 1)
    pads, strides, dilations = (
        attributes.get(name, default)
        for name, default in (("pads", [0] * 2 * axes), ("strides", [1] * axes), ("dilations", [1] * axes))
    )
    padded = np.pad(x.astype(np.int64), [(0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)])
    reach = [(size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilations, strict=True)]
    starts = [range(0, n - far + 1, step) for n, far, step in zip(padded.shape[2:], reach, strides, strict=True)]
    found = np.zeros((len(x), len(weight), *map(len, starts)), np.int64)
    outputs, channels = len(weight) // groups, weight.shape[1]
    for place in combinations(*(range(len(first)) for first in starts)):
        where = [slice(s[i], s[i] + r, d) for s, i, r, d in zip(starts, place, reach, dilations, strict=True)]
        window = padded[(..., *where)]
        for m in range(len(weight)):
            seen = window[:, m // outputs * channels :][:, :channels]
            found[(slice(None), m, *place)] = (seen * weight[m].astype(np.int64)).reshape(len(x), -1).sum(axis=1)
    return found


@settings(max_examples=60, deadline=None)
@given(shapes(automatic=False), st.sampled_from(KINDS), seeds)
def test_accumulators_are_the_sums_of_the_definition(case: Shapes, kinds: tuple[Any, Any], seed: int) -> None:
    x, _, x_zero, weight, _, w_zero, _, _, _ = operands(case, kinds, seed)
    (found,) = simulated("ConvInteger", x, weight, x_zero, w_zero, **case.attributes)
    centred = weight.astype(np.int64) - int(w_zero.reshape(-1)[0])
    np.testing.assert_array_equal(found, by_hand(x.astype(np.int64) - int(x_zero), centred, case.attributes))


@pytest.mark.parametrize("channels", [500, 1500, 20000])
@pytest.mark.parametrize("zero", [0, 128, 255])
def test_sums_beyond_what_float32_holds_are_exact(channels: int, zero: int) -> None:
    random = np.random.default_rng(channels + zero)
    x = random.integers(200, 256, (1, channels, 2, 3)).astype(np.uint8)
    weight = random.integers(120, 128, (4, channels, 1, 2)).astype(np.int8)
    weight[2:] *= -1
    (found,) = simulated("ConvInteger", x, weight, np.uint8(zero))
    expected = by_hand(x.astype(np.int64) - zero, weight, {})
    np.testing.assert_array_equal(found, expected)
    cuts = list(stretches(filter_of(weight, None, None, 1).kernel, 128))
    assert (len(cuts) > 1) == (channels > 500)
    assert channels == 500 or zero == 255 or np.abs(expected).max() > EXACT
    assert_as_onnxruntime("ConvInteger", x, weight, np.uint8(zero))
    one, step = np.float32(1), np.float32(np.abs(expected).max() / 100)
    assert_as_onnxruntime("QLinearConv", x, one, np.uint8(zero), weight, one, np.int8(0), step, np.uint8(100))


def test_a_zero_point_for_each_channel_is_that_of_its_own_weights() -> None:
    random = np.random.default_rng(0)
    x, weight = integers(random, np.uint8, (2, 4, 5, 5)), integers(random, np.int8, (6, 2, 3, 3))
    zeros = np.array([-128, -3, 0, 5, 64, 127], np.int8)
    (found,) = simulated("ConvInteger", x, weight, np.uint8(77), zeros, group=2)
    centred = weight.astype(np.int64) - zeros.reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(found, by_hand(x.astype(np.int64) - 77, centred, {"group": 2}))


def test_tiles_cover_a_large_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    x, weight = integers(random, np.uint8, (2, 3, 9, 7)), integers(random, np.int8, (4, 3, 3, 3))
    (whole,) = simulated("ConvInteger", x, weight, np.uint8(3), pads=[1, 1, 1, 1])
    monkeypatch.setattr("quantseg.simulation.arithmetic.convolution.TILE", 500)
    view = geometry(x, weight.shape, {"pads": [1, 1, 1, 1]})
    covered = np.zeros(whole.shape, int)
    for place, sums in tiles(x, 3, filter_of(weight, None, None, 1), view):
        covered[place] += 1
        np.testing.assert_array_equal(sums, whole[place])
    assert (covered == 1).all()


matrices = st.tuples(st.integers(1, 5), st.integers(1, 4000), st.integers(1, 255), st.integers(1, 255), seeds)


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_stretches_tile_the_axis_and_stay_below_what_float32_holds(drawn: tuple[int, ...]) -> None:
    rows, inner, widest_weight, largest, seed = drawn
    weights = np.random.default_rng(seed).integers(-widest_weight, widest_weight + 1, (rows, inner))
    cuts = list(stretches(weights.astype(np.float32), largest))
    assert [place for cut in cuts for place in range(cut.start, cut.stop)] == list(range(inner))
    sums = [int(np.abs(weights[:, cut]).sum(axis=1).max()) * largest for cut in cuts]
    assert max(sums) < EXACT
    for cut in cuts[:-1]:  # none ends a block of 64 early
        longer = weights[:, cut.start : cut.stop + 64]
        assert np.abs(longer).sum(axis=1).max() * largest >= EXACT


@settings(max_examples=40, deadline=None)
@given(matrices)
def test_a_product_in_stretches_is_that_of_whole_numbers(drawn: tuple[int, ...]) -> None:
    rows, inner, widest_weight, largest, seed = drawn
    random = np.random.default_rng(seed)
    weights = random.integers(-widest_weight, widest_weight + 1, (rows, inner))
    columns = random.integers(largest // 2, largest + 1, (inner, 3))
    cuts = tuple(stretches(weights.astype(np.float32), largest))
    found = product(weights.astype(np.float32), columns.astype(np.float32), cuts)
    np.testing.assert_array_equal(found, weights @ columns)


def test_a_product_too_large_for_float32_is_no_stretch() -> None:
    with pytest.raises(ValueError, match="exceeds 2\\^24"):
        list(stretches(np.full((1, 1), 2.0**20, np.float32), 16))


X, W = np.zeros((1, 4, 5, 5), np.uint8), np.zeros((6, 4, 3, 3), np.int8)


@pytest.mark.parametrize(
    ("x", "weight", "attributes", "words"),
    [
        (X[:, :3], W, {}, r"\[1, 3, 5, 5\] and weight \[6, 4, 3, 3\] do not fit: 3 channels, and the weight takes 4"),
        (X, W, {"group": 2}, r"\[1, 4, 5, 5\] and weight \[6, 4, 3, 3\] do not fit: 4 channels, .* takes 8"),
        (X[0], W, {}, r"\[4, 5, 5\] and weight \[6, 4, 3, 3\] do not fit: axes differ"),
        (X, W, {"kernel_shape": [1, 1]}, r"kernel_shape \[1, 1\] and weight \[6, 4, 3, 3\]"),
        (X[..., :2], W, {}, r"shape \[3, -?\d+\]; the window is larger"),
        (X, W, {"strides": [0, 1]}, r"strides \[0, 1\]"),
        (X, W, {"pads": [1, 1]}, r"pads \[1, 1\] should be 4 numbers"),
        (X[:, [0] * 20], np.zeros((6, 5, 3, 3), np.int8), {"group": 4}, "does not split into 4 groups"),
    ],
)
def test_operands_that_do_not_fit_are_named(x: Array, weight: Array, attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        simulated("ConvInteger", x, weight, **attributes)


@pytest.mark.parametrize(("index", "wrong"), [(4, np.ones(5, np.float32)), (8, np.zeros(5, np.int32))])
def test_scales_and_biases_are_as_many_as_channels(index: int, wrong: Array) -> None:
    one = np.float32(1)
    given_ = [X, one, np.uint8(0), W, one, np.int8(0), one, np.uint8(0), np.zeros(6, np.int32)]
    simulated("QLinearConv", *given_)
    given_[index] = wrong
    with pytest.raises(ModelError, match=r"5"):
        simulated("QLinearConv", *given_)
