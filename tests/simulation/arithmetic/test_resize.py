"""Resize in the simulator: onnxruntime's numbers, in nearest and linear mode every one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quantseg.errors import ModelError
from tests.support.operators import Array, assert_as_onnxruntime, integers, judged, simulated

F = np.float32
seeds = st.integers(0, 2**32 - 1)
POSITIONS = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]


@dataclass(frozen=True)
class Case:
    """An image's shape, scales or sizes for all of its axes, and attributes."""

    shape: tuple[int, ...]
    scales: Array | None
    sizes: Array | None
    attributes: dict[str, Any]

    def operands(self, x: Array) -> list[Array | None]:
        return [x, None, self.scales, self.sizes] if self.sizes is not None else [x, None, self.scales]


@st.composite
def cases(draw: st.DrawFn, mode: str, *, last: bool = False) -> Case:
    """Enlarged, reduced or kept on each of the two axes, by scales or to sizes."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=2))
    around = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    shape = (around[0], *sizes, around[1]) if last else (*around, *sizes)
    wanted = draw(st.lists(st.integers(1, 20), min_size=2, max_size=2))
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": draw(st.sampled_from(POSITIONS))}
    if mode == "nearest":
        ways = ["floor", "ceil", "round_prefer_ceil", "round_prefer_floor"]
        attributes["nearest_mode"] = draw(st.sampled_from(ways))
    if draw(st.booleans()):
        after = (around[0], *wanted, around[1]) if last else (*around, *wanted)
        return Case(shape, None, np.array(after, np.int64), attributes)
    usual = st.sampled_from([0.5, 2.0, 4.0, 1.5, 3.0, 1.0])
    factors = [draw(st.one_of(usual, st.just(after / before))) for after, before in zip(wanted, sizes, strict=True)]
    lengths = [float(F(factor)) * size for factor, size in zip(factors, sizes, strict=True)]
    assume(min(lengths) >= 1)
    if attributes["coordinate_transformation_mode"] == "align_corners":
        assume(all(length.is_integer() for length in lengths))  # else onnxruntime does not follow ONNX
    scales = (1.0, *factors, 1.0) if last else (1.0, 1.0, *factors)
    return Case(shape, np.array(scales, F), None, attributes)


@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.int8])
@pytest.mark.parametrize("last", [False, True])
@settings(max_examples=100, deadline=None)
@given(st.data(), seeds)
def test_nearest_is_onnxruntimes(kind: Any, last: bool, data: st.DataObject, seed: int) -> None:
    case, random = data.draw(cases("nearest", last=last)), np.random.default_rng(seed)
    x = integers(random, np.uint8 if kind == np.uint8 else np.int8, case.shape).astype(kind)
    assert_as_onnxruntime("Resize", *case.operands(x), opset=19, **case.attributes)


@pytest.mark.parametrize("last", [False, True])
@settings(max_examples=100, deadline=None)
@given(st.data(), seeds)
def test_linear_is_onnxruntimes_to_the_last_bit(last: bool, data: st.DataObject, seed: int) -> None:
    case, random = data.draw(cases("linear", last=last)), np.random.default_rng(seed)
    x = random.normal(size=case.shape).astype(F)
    assert_as_onnxruntime("Resize", *case.operands(x), opset=19, **case.attributes)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("last", [False, True])
@settings(max_examples=100, deadline=None)
@given(st.data(), seeds)
def test_linear_of_integers_is_onnxruntimes(kind: Any, last: bool, data: st.DataObject, seed: int) -> None:
    case = data.draw(cases("linear", last=last))
    x = integers(np.random.default_rng(seed), kind, case.shape)
    assert_as_onnxruntime("Resize", *case.operands(x), opset=19, **case.attributes)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([np.uint8, np.int8]), seeds)
def test_a_image_that_onnxruntime_moves_is_resized_as_with_its_channels_last(
    data: st.DataObject, kind: Any, seed: int
) -> None:
    case = data.draw(cases("linear", last=True))
    x = integers(np.random.default_rng(seed), kind, case.shape)
    expected = judged("Resize", *case.operands(x), opset=19, **case.attributes)
    first = np.ascontiguousarray(np.moveaxis(x, 3, 1))
    scales, sizes = (None if part is None else part[[0, 3, 1, 2]] for part in (case.scales, case.sizes))
    moved = Case(first.shape, scales, sizes, case.attributes)
    way = "onnxruntime-channels-last"
    (found,) = simulated("Resize", *moved.operands(first), opset=19, rounding=way, **case.attributes)
    np.testing.assert_array_equal(np.moveaxis(found, 1, 3), expected[0])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([(3, 4), (2, 3, 4), (1, 2, 3, 4, 2)]), st.sampled_from(POSITIONS), seeds)
def test_linear_along_two_and_three_axes_is_onnxruntimes(shape: tuple[int, ...], positions: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    sizes = np.array(shape[:-3] + tuple(random.integers(1, 9, min(len(shape), 3))), np.int64)
    x, attributes = random.normal(size=shape).astype(F), {"mode": "linear", "coordinate_transformation_mode": positions}
    assert_as_onnxruntime("Resize", x, None, None, sizes, opset=19, **attributes)


CUBIC = {"mode": "cubic"}
ROWS: list[tuple[dict[str, Any], int]] = [
    (CUBIC, 11), (CUBIC, 19), (CUBIC | {"cubic_coeff_a": -0.5}, 13), (CUBIC | {"exclude_outside": 1}, 13),
    *((CUBIC | {"coordinate_transformation_mode": mode}, 13) for mode in POSITIONS[:4]),
    (CUBIC | {"antialias": 1}, 18), (CUBIC | {"antialias": 1, "exclude_outside": 1}, 19),
    ({"mode": "linear", "antialias": 1}, 18), ({"mode": "linear", "antialias": 1, "exclude_outside": 1}, 19),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "opset"), ROWS)
@settings(max_examples=40, deadline=None)
@given(st.sampled_from([(5, 7), (10, 14), (3, 4), (13, 2)]), seeds)
def test_cubic_and_antialiased_are_onnxruntimes_but_for_the_order_of_their_sums(
    attributes: dict[str, Any], opset: int, to: tuple[int, int], seed: int
) -> None:
    x = np.random.default_rng(seed).normal(size=(1, 2, 5, 7)).astype(F)
    operands = x, np.zeros(0, F), np.zeros(0, F), np.array([1, 2, *to], np.int64)
    (found,), (expected,) = (run("Resize", *operands, opset=opset, **attributes) for run in (simulated, judged))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_part_is_cropped_and_filled_as_onnxruntime_does(mode: str) -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 5, 6)).astype(F)
    roi = np.array([0, 0, 0.1, -0.2, 1, 1, 0.9, 1.3], F)
    attributes = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 7.0}
    operands = x, roi, None, np.array([1, 1, 4, 9], np.int64)
    (found,), (expected,) = (run("Resize", *operands, opset=19, **attributes) for run in (simulated, judged))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert (found == 7).any()


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_only_named_axes_are_resized_and_keep_their_aspect_where_they_should(policy: str) -> None:
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 6)).astype(F)
    operands, attributes = (x, None, None, np.array([7, 9], np.int64)), {"axes": [2, 3], "mode": "nearest"}
    assert_as_onnxruntime("Resize", *operands, opset=19, keep_aspect_ratio_policy=policy, **attributes)
    named = x, None, np.array([1.5, 2], F)
    assert_as_onnxruntime("Resize", *named, opset=19, **attributes)


@pytest.mark.parametrize("scales", [(1, 1, 2, 2), (1, 1, 0.5, 3), (1, 1, 1.5, 1)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_the_first_resize_takes_scales_alone(mode: str, scales: tuple[float, ...]) -> None:
    x = np.random.default_rng(0).normal(size=(1, 2, 6, 4)).astype(F)
    assert_as_onnxruntime("Resize", x, np.array(scales, F), opset=10, mode=mode)


X = np.zeros((1, 1, 4, 4), F)


@pytest.mark.parametrize(
    ("operands", "attributes", "words"),
    [
        ((X,), {}, "without scales and sizes"),
        ((X, None, np.array([2, 2], F)), {}, r"input \[1, 1, 4, 4\] and factors \[2.0, 2.0\] do not fit"),
        ((X, None, np.array([1, 1, 0, 2], F)), {}, r"factors \[1.0, 1.0, 0.0, 2.0\]"),
        ((X, None, np.array([1, 1, 2, 2], F)), {"mode": "lanczos"}, "mode 'lanczos'"),
        ((X, None, np.array([1, 1, 2, 2], F)), {"nearest_mode": "up"}, "nearest_mode 'up'"),
        ((X, None, np.array([1, 1, 2, 2], F)), {"coordinate_transformation_mode": "x"}, "coordinate_.* 'x'"),
        ((X, None, np.array([1, 1, 1e5, 1e5], F)), {}, "more than 4 GiB"),
    ],
)
def test_what_cannot_be_resized_is_named(operands: tuple[Any, ...], attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        simulated("Resize", *operands, **attributes)
