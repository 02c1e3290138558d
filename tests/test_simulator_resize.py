"""Resize in the simulator: onnxruntime's numbers, in nearest and linear mode every one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from quantseg.errors import ModelError
from tests.operators import Array, assert_as_onnxruntime, integers, judged, simulated

F = np.float32
NONE = np.zeros(0, F)
seeds = st.integers(0, 2**32 - 1)
POSITIONS = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]


@dataclass(frozen=True)
class Case:
    """A picture's shape, scales or sizes for all of its axes, and attributes."""

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
    x = random.integers(-128, 128, case.shape).astype(np.int8).view(np.uint8 if kind == np.uint8 else np.int8).astype(kind)
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
