"""Pools of integers in the simulator: onnxruntime's numbers, every one."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.errors import ModelError
from tests.support.operators import Array, assert_as_onnxruntime, assert_equal, integers, judged, simulated

F = np.float32
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from([np.uint8, np.int8])


@dataclass(frozen=True)
class Shapes:
    """An image (N, C, …), and attributes that fit it."""

    image: tuple[int, ...]
    attributes: dict[str, Any]

    def integers(self, kind: Any, seed: int) -> Array:
        return integers(np.random.default_rng(seed), kind, self.image)


@st.composite
def shapes(draw: st.DrawFn, axes: tuple[int, ...] = (1, 2, 2, 3), *, dilated: bool = True) -> Shapes:
    """Windows with pads smaller than they are, over images from the smallest that they fit.

    Automatic pads only where onnxruntime follows ONNX: without dilations, and for kernels as large as their strides.
    """
    count = draw(st.sampled_from(axes))
    kernel, strides, dilations = (
        draw(st.lists(st.integers(1, most), min_size=count, max_size=count)) for most in (4, 4, 3 if dilated else 1)
    )
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
    mode = draw(st.sampled_from(["pads", "pads", "none", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if mode.startswith("SAME"):
        dilations = [1] * count
        kernel = attributes["kernel_shape"] = [max(pair) for pair in zip(kernel, strides, strict=True)]
    if dilated:
        attributes["dilations"] = dilations
    pads = [draw(st.integers(0, kernel[i % count] - 1)) if mode == "pads" else 0 for i in range(2 * count)]
    if mode == "pads":
        attributes["pads"] = pads
    elif mode != "none":
        attributes["auto_pad"] = mode
    if not mode.startswith("SAME"):
        attributes["ceil_mode"] = draw(st.integers(0, 1))
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    least = [max(1, far - pads[i] - pads[i + count]) for i, far in enumerate(reach)]
    sizes = [draw(st.integers(1 if mode.startswith("SAME") else size, size + 6)) for size in least]
    return Shapes((draw(st.integers(1, 2)), draw(st.integers(1, 3)), *sizes), attributes)


def last(x: Array) -> Array:
    """The same image, its channels last."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


@st.composite
def grids(draw: st.DrawFn, kind: Any) -> tuple[F, Array, F, Array]:
    """Scale and zero-point of an image and of its pool."""
    info = np.iinfo(kind)
    zeros = [draw(st.one_of(st.sampled_from([info.min, info.max]), st.integers(info.min, info.max))) for _ in range(2)]
    scale = draw(st.one_of(st.floats(1e-3, 0.5), st.sampled_from([0.125, 0.1])).map(F))
    factor = draw(st.one_of(st.floats(0.5, 1.5), st.sampled_from([1.0, 0.5])).map(F))
    return scale, np.asarray(zeros[0], kind), scale * factor, np.asarray(zeros[1], kind)


@settings(max_examples=100, deadline=None)
@given(shapes((1, 2, 2, 3), dilated=False), kinds, st.integers(0, 1), st.data(), seeds)
def test_an_average_is_onnxruntimes(case: Shapes, kind: Any, include: int, data: st.DataObject, seed: int) -> None:
    grid = data.draw(grids(kind))
    attributes = case.attributes | {"count_include_pad": include}
    assert_as_onnxruntime("QLinearAveragePool", case.integers(kind, seed), *grid, **attributes)


@settings(max_examples=60, deadline=None)
@given(shapes((2,), dilated=False), kinds, st.integers(0, 1), st.data(), seeds)
def test_channels_last_is_the_same_average(
    case: Shapes, kind: Any, include: int, data: st.DataObject, seed: int
) -> None:
    x, grid = case.integers(kind, seed), data.draw(grids(kind))
    attributes = case.attributes | {"count_include_pad": include}
    (plain,) = simulated("QLinearAveragePool", x, *grid, **attributes)
    assert_as_onnxruntime("QLinearAveragePool", last(x), *grid, channels_last=1, **attributes)
    assert_equal(simulated("QLinearAveragePool", last(x), *grid, channels_last=1, **attributes), [last(plain)])


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([(1, 3, 7), (2, 5, 1, 1), (1, 3, 4, 5), (2, 40, 33, 17), (1, 2, 3, 4, 5)]), kinds, st.data(), seeds
)
def test_a_global_average_is_onnxruntimes(shape: tuple[int, ...], kind: Any, data: st.DataObject, seed: int) -> None:
    x, grid = integers(np.random.default_rng(seed), kind, shape), data.draw(grids(kind))
    assert_as_onnxruntime("QLinearGlobalAveragePool", x, *grid, channels_last=0)
    assert_as_onnxruntime("QLinearGlobalAveragePool", last(x), *grid, channels_last=1)


@settings(max_examples=100, deadline=None)
@given(shapes(), st.sampled_from([np.uint8, np.int8, np.float32]), seeds)
def test_a_largest_is_onnxruntimes(case: Shapes, kind: Any, seed: int) -> None:
    x = case.integers(np.int8, seed).astype(kind)
    assert_as_onnxruntime("MaxPool", x, **case.attributes)
    (largest, places), (expected, where) = (
        run("MaxPool", x, outputs=2, **case.attributes) for run in (simulated, judged)
    )
    assert_equal([largest], [expected])
    (pixels,) = simulated("MaxPool", np.ones_like(x), **case.attributes)  # windows over nothing but pads have no place
    np.testing.assert_array_equal(places[pixels == 1], where[pixels == 1])


@settings(max_examples=100, deadline=None)
@given(shapes((2,)), kinds, seeds)
def test_a_largest_of_channels_last_is_onnxruntimes(case: Shapes, kind: Any, seed: int) -> None:
    assert_as_onnxruntime("NhwcMaxPool", last(case.integers(kind, seed)), **case.attributes)


@settings(max_examples=60, deadline=None)
@given(shapes((1, 2)), st.integers(0, 1), seeds)
def test_a_float_average_is_onnxruntimes_but_for_the_order_of_its_sums(case: Shapes, include: int, seed: int) -> None:
    x, attributes = case.integers(np.int8, seed).astype(F), case.attributes | {"count_include_pad": include}
    (found,), (expected,) = (run("AveragePool", x, **attributes) for run in (simulated, judged))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    (found,), (expected,) = (run("GlobalAveragePool", x) for run in (simulated, judged))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(kinds, st.data(), seeds)
def test_exact_averages_are_fractions_rounded_to_even(kind: Any, data: st.DataObject, seed: int) -> None:
    s_x, z_x, s_y, z_y = data.draw(grids(kind))
    x = integers(np.random.default_rng(seed), kind, (1, 2, 5, 4))
    ratio, info = Fraction(float(s_x)) / Fraction(float(s_y)), np.iinfo(kind)

    def mean(window: Array) -> int:
        total = int((window.astype(int) - int(z_x)).sum())
        return min(max(round(Fraction(total, window.size) * ratio) + int(z_y), info.min), info.max)

    (pooled,) = simulated("QLinearAveragePool", x, s_x, z_x, s_y, z_y, kernel_shape=[3, 2], rounding="exact")
    expected = [[[mean(x[0, c, i : i + 3, j : j + 2]) for j in range(3)] for i in range(3)] for c in range(2)]
    assert_equal([pooled], [np.array([expected], kind)])
    (whole,) = simulated("QLinearGlobalAveragePool", x, s_x, z_x, s_y, z_y, rounding="exact")
    assert_equal([whole], [np.array([mean(x[0, 0]), mean(x[0, 1])], kind).reshape(1, 2, 1, 1)])


def test_a_pool_of_what_is_no_image_is_named() -> None:
    with pytest.raises(ModelError, match=r"a pool over \[3, 4\] with kernel"):
        simulated("MaxPool", np.zeros((3, 4), np.uint8), kernel_shape=[2])
    with pytest.raises(ModelError, match=r"a pool over \[1, 3, 4\] with kernel None"):
        simulated("MaxPool", np.zeros((1, 3, 4), np.uint8))
    with pytest.raises(ModelError, match="the window is larger"):
        simulated("MaxPool", np.zeros((1, 3, 4), np.uint8), kernel_shape=[9])
