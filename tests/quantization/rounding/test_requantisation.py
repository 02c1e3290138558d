"""Each way to requantise beside its own definition: in float32, in fractions, and in integers as kernels' sources say.

Sources: gemmlowp, fixedpoint.h; TensorFlow Lite, MultiplyByQuantizedMultiplier and QuantizeMultiplier.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quantseg.errors import PlanError
from quantseg.quantization.rounding.requantisation import ROUNDINGS, Ratio, check, fixed_point, requantised
from tests.support.operators import Array

F = np.float32
KINDS = [np.uint8, np.int8, np.int16, np.uint16]
accumulators = st.lists(
    st.one_of(st.integers(-300, 300), st.integers(-(1 << 24), 1 << 24), st.integers(-(1 << 31), (1 << 31) - 1)),
    min_size=1,
    max_size=30,
).map(lambda numbers: np.array(numbers, np.int64))
scales = st.one_of(
    st.floats(2.0**-12, 1, width=32).map(F),
    st.integers(-8, 0).map(lambda power: F(2.0**power)),  # many results lie at a half
    st.sampled_from([F(1) / F(3), F(0.1), F(0.75), F(1.5) / F(256)]),
)
ratios = st.builds(lambda a, b, c: Ratio((np.asarray(a), np.asarray(b)), (np.asarray(c),)), scales, scales, scales)
zero_points = st.sampled_from(KINDS).flatmap(
    lambda kind: st.integers(np.iinfo(kind).min, np.iinfo(kind).max).map(lambda zero: np.asarray(zero, kind))
)


def rational(ratio: Ratio) -> Fraction:
    """M without any rounding."""
    (a, b), (c,) = ratio.numerators, ratio.denominators
    return Fraction(float(a)) * Fraction(float(b)) / Fraction(float(c))


def clipped(rounded: list[int], zero_point: Array) -> Array:
    info = np.iinfo(zero_point.dtype)
    return np.array([min(max(q + int(zero_point), info.min), info.max) for q in rounded], zero_point.dtype)


def quantized_multiplier(real: float) -> tuple[int, int]:
    """TensorFlow Lite's QuantizeMultiplier: q and a left shift."""
    mantissa, shift = math.frexp(real)
    fixed = math.floor(mantissa * (1 << 31) + 0.5)
    return (fixed // 2, shift + 1) if fixed == 1 << 31 else (fixed, shift)


def divided_towards_zero(a: int, b: int) -> int:
    return a // b if (a >= 0) == (b > 0) else -(-a // b)


def high_multiply(a: int, b: int) -> int:
    """gemmlowp's SaturatingRoundingDoublingHighMul."""
    if a == b == -(1 << 31):
        return (1 << 31) - 1
    product = a * b
    nudge = 1 << 30 if product >= 0 else 1 - (1 << 30)
    return divided_towards_zero(product + nudge, 1 << 31)


def divide_by_power(x: int, exponent: int) -> int:
    """gemmlowp's RoundingDivideByPOT."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if (x & mask) > threshold else 0)


def rounded_half_away(number: Fraction) -> int:
    return math.floor(number + Fraction(1, 2)) if number >= 0 else math.ceil(number - Fraction(1, 2))


@given(accumulators, ratios, zero_points)
def test_onnxruntime_is_one_float32_product_rounded_to_even(accumulator: Array, ratio: Ratio, zero: Array) -> None:
    (a, b), (c,) = ratio.numerators, ratio.denominators
    rounded = [round(float(F(n) * (F(a * b) / c))) for n in accumulator.tolist()]
    np.testing.assert_array_equal(requantised(accumulator, ratio, zero, "onnxruntime"), clipped(rounded, zero))


@given(accumulators, ratios, zero_points)
@example(np.arange(-9, 10), Ratio((F(0.5), F(1)), (F(1),)), np.asarray(3, np.uint8))
def test_exact_is_the_rational_number_rounded_to_even(accumulator: Array, ratio: Ratio, zero: Array) -> None:
    rounded = [round(n * rational(ratio)) for n in accumulator.tolist()]
    np.testing.assert_array_equal(requantised(accumulator, ratio, zero, "exact"), clipped(rounded, zero))


@given(accumulators, ratios, zero_points, st.sampled_from(["half-even", "half-away"]))
def test_one_shift_rounds_the_64_bit_product_once(accumulator: Array, ratio: Ratio, zero: Array, rounding: str) -> None:
    fixed, shift = quantized_multiplier(float(ratio.double))
    exact = [n * fixed * Fraction(2) ** (shift - 31) for n in accumulator.tolist()]
    rounded = [round(n) if rounding == "half-even" else rounded_half_away(n) for n in exact]
    np.testing.assert_array_equal(requantised(accumulator, ratio, zero, rounding), clipped(rounded, zero))


@given(accumulators, ratios, zero_points)
def test_gemmlowp_is_the_high_half_and_a_rounded_shift(accumulator: Array, ratio: Ratio, zero: Array) -> None:
    fixed, shift = quantized_multiplier(float(ratio.double))
    left, right = max(shift, 0), max(-shift, 0)
    held = accumulator[np.abs(accumulator) << left < 1 << 31]  # beyond that int32 overflows, and C++ says nothing
    rounded = [divide_by_power(high_multiply(n << left, fixed), right) for n in held.tolist()]
    np.testing.assert_array_equal(requantised(held, ratio, zero, "gemmlowp"), clipped(rounded, zero))


@given(st.floats(2.0**-31, 2.0**30))
def test_a_fixed_point_multiplier_is_tensorflow_lites(real: float) -> None:
    fixed, shift = fixed_point(np.asarray(real))
    assert (int(fixed), -int(shift)) == quantized_multiplier(real)
    assert 1 << 30 <= fixed < 1 << 31
    assert abs(Fraction(int(fixed), 1 << 31) / Fraction(2) ** int(shift) / Fraction(real) - 1) <= Fraction(1, 1 << 31)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@settings(max_examples=60)
@given(st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=30), ratios, zero_points)
def test_no_way_is_more_than_a_step_from_exact(rounding: str, parts: list[float], ratio: Ratio, zero: Array) -> None:
    """For results of 8 bits."""
    whole = [round(part * 255 / float(ratio.double)) for part in parts]
    accumulator = np.clip(np.array(whole, np.int64), -(1 << 31), (1 << 31) - 1)
    found, exact = (requantised(accumulator, ratio, zero, way).astype(int) for way in (rounding, "exact"))
    assert np.abs(found - exact).max() <= 1


@pytest.mark.parametrize("rounding", ROUNDINGS)
@given(accumulators, ratios, zero_points)
@example(np.array([(1 << 31) - 1, -(1 << 31), 1 << 24]), Ratio((F(4096),), (F(1),)), np.asarray(5, np.int8))
def test_results_saturate_at_the_ends_of_their_type(
    rounding: str, accumulator: Array, ratio: Ratio, zero: Array
) -> None:
    info, factor = np.iinfo(zero.dtype), float(ratio.double)
    found = requantised(accumulator, ratio, zero, rounding)
    assert found.dtype == zero.dtype
    real = accumulator * factor + int(zero)
    slack = 1 + np.abs(real) * 1e-6
    assert (found[real > info.max + slack] == info.max).all()
    assert (found[real < info.min - slack] == info.min).all()


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("kind", [np.float32, np.int32, np.int64])
def test_the_type_that_holds_an_accumulator_does_not_matter(rounding: str, kind: Any) -> None:
    accumulator, zero = np.arange(-(1 << 24) + 1, 1 << 24, 9973), np.asarray(-7, np.int8)
    ratio = Ratio((F(0.3), F(0.02)), (F(170.0),))
    expected = requantised(accumulator, ratio, zero, rounding)
    np.testing.assert_array_equal(requantised(accumulator.astype(kind), ratio, zero, rounding), expected)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_each_channel_has_its_own_scale(rounding: str) -> None:
    random = np.random.default_rng(0)
    accumulator = random.integers(-(1 << 20), 1 << 20, (2, 5, 3, 4))
    per_channel = random.uniform(1e-3, 1e-1, 5).astype(F)
    zero, x, y = np.asarray(9, np.uint8), F(0.01), F(0.5)
    found = requantised(accumulator, Ratio((x, per_channel.reshape(5, 1, 1)), (y,)), zero, rounding)
    for channel, scale in enumerate(per_channel):
        alone = requantised(accumulator[:, channel], Ratio((x, np.asarray(scale)), (y,)), zero, rounding)
        np.testing.assert_array_equal(found[:, channel], alone)


def test_halves_go_where_each_way_says() -> None:
    accumulator, half, zero = np.array([-5, -3, -1, 1, 3, 5]), Ratio((F(0.5),), (F(1),)), np.asarray(0, np.int8)
    found = {name: requantised(accumulator, half, zero, name).tolist() for name in ROUNDINGS}
    assert found["onnxruntime"] == found["exact"] == found["half-even"] == [-2, -2, 0, 0, 2, 2]
    assert found["half-away"] == [-3, -2, -1, 1, 2, 3]
    assert found["gemmlowp"] == [-2, -1, 0, 1, 2, 3]


@pytest.mark.parametrize("name", ROUNDINGS)
def test_a_known_rounding_passes(name: str) -> None:
    check(name)


def test_an_unknown_rounding_names_those_there_are() -> None:
    with pytest.raises(PlanError, match=r"'nearest' is no rounding; choose one of onnxruntime, .*half-away"):
        check("nearest")


@pytest.mark.parametrize("rounding", ["gemmlowp", "half-away", "half-even"])
@pytest.mark.parametrize(
    ("scale", "words"),
    [(0, "not a positive"), (-1, "not a positive"), (np.inf, "not a positive"), (np.nan, "not a positive"),
     (2.0**-40, "beyond"), (2.0**40, "beyond")],
)  # fmt: skip
def test_fixed_point_refuses_what_it_cannot_multiply_by(rounding: str, scale: float, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        requantised(np.array([1]), Ratio((F(scale),), (F(1),)), np.asarray(0, np.int8), rounding)
