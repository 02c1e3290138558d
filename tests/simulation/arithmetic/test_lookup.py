"""Functions of one integer in the simulator, and Softmax and Concat: onnxruntime's numbers, every one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.errors import ModelError
from tests.support.operators import Array, assert_as_onnxruntime, integers, simulated

F = np.float32
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from([np.uint8, np.int8])
scales = st.one_of(
    st.floats(1e-3, 0.3).map(F), st.integers(-9, -1).map(lambda power: F(2.0**power)), st.sampled_from([F(1) / F(256)])
)


@st.composite
def grids(draw: st.DrawFn, kind: Any) -> tuple[F, Array]:
    """Scale and zero-point, the ends of the type often."""
    info = np.iinfo(kind)
    zeros = st.one_of(st.sampled_from([info.min, info.max, 0]), st.integers(info.min, info.max))
    return draw(scales), np.asarray(draw(zeros), kind)


def every(kind: Any) -> Array:
    """All integers of an 8-bit type, as an image."""
    return np.arange(256, dtype=np.uint8).view(kind).reshape(1, 2, 8, 16)


@settings(max_examples=100, deadline=None)
@given(kinds, st.data())
def test_sigmoid_is_onnxruntimes_for_every_integer(kind: Any, data: st.DataObject) -> None:
    x, y = data.draw(grids(kind)), data.draw(grids(kind))
    assert_as_onnxruntime("QLinearSigmoid", every(kind), *x, *y)


@settings(max_examples=100, deadline=None)
@given(kinds, st.floats(-0.5, 2), st.data())
def test_leaky_relu_is_onnxruntimes_for_every_integer(kind: Any, alpha: float, data: st.DataObject) -> None:
    x, y = data.draw(grids(kind)), data.draw(grids(kind))
    assert_as_onnxruntime("QLinearLeakyRelu", every(kind), *x, *y, alpha=float(F(alpha)))


@settings(max_examples=100, deadline=None)
@given(kinds, st.integers(1, 4), st.integers(-4, 3), st.data(), seeds)
def test_concat_is_onnxruntimes(kind: Any, count: int, axis: int, data: st.DataObject, seed: int) -> None:
    random, operands = np.random.default_rng(seed), list(data.draw(grids(kind)))
    for _ in range(count):
        shape = [2, 3, 4, 5]
        shape[axis] = int(random.integers(1, 6))
        grid = tuple(operands) if data.draw(st.booleans()) and len(operands) == 2 else data.draw(grids(kind))
        operands += [integers(random, kind, tuple(shape)), *grid]
    assert_as_onnxruntime("QLinearConcat", *operands, axis=axis)


SOFTMAXES = [(axis, opset) for opset in (12, 13) for axis in (1, -1, 2, 0)]


@pytest.mark.parametrize(("axis", "opset"), SOFTMAXES)
@settings(max_examples=40, deadline=None)
@given(
    kinds, scales, st.booleans(), st.sampled_from([(2, 3, 4, 5), (2, 19, 3, 3), (2, 150, 2, 3), (2, 1, 7, 300)]), seeds
)
def test_softmax_is_onnxruntimes(
    axis: int, opset: int, kind: Any, scale: F, usual: bool, shape: tuple[int, ...], seed: int
) -> None:
    """The usual grid of the result, and others."""
    random = np.random.default_rng(seed)
    x = integers(random, kind, shape)
    y_scale = F(1) / F(256) if usual else F(random.uniform(1 / 256, 1 / 60))
    y_zero = np.asarray(np.iinfo(kind).min, kind) if usual else integers(random, kind, ())
    operands = x, scale, integers(random, kind, ()), y_scale, y_zero
    assert_as_onnxruntime("QLinearSoftmax", *operands, axis=axis, opset=opset)


@pytest.mark.parametrize("op_type", ["QLinearSigmoid", "QLinearLeakyRelu"])
@settings(max_examples=40, deadline=None)
@given(kinds, st.data())
def test_exact_is_float64_rounded_and_a_step_from_onnxruntime_at_most(
    op_type: str, kind: Any, data: st.DataObject
) -> None:
    (s_x, z_x), (s_y, z_y) = data.draw(grids(kind)), data.draw(grids(kind))
    real = float(s_x) * (every(kind).astype(int) - int(z_x))
    wanted = 1 / (1 + np.exp(-real)) if op_type == "QLinearSigmoid" else np.where(real >= 0, real, 0.1 * real)
    info = np.iinfo(kind)
    expected = np.clip(wanted / float(s_y) + int(z_y), info.min, info.max)
    for rounding in ("exact", "onnxruntime"):
        found = simulated(op_type, every(kind), s_x, z_x, s_y, z_y, rounding=rounding, alpha=0.1)[0].astype(int)
        assert np.abs(found - expected).max() <= (0.501 if rounding == "exact" else 1.5)


@settings(max_examples=40, deadline=None)
@given(kinds, scales, seeds)
def test_exact_softmax_is_float64_rounded(kind: Any, scale: F, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y_zero = integers(random, kind, (2, 21, 3, 4)), np.asarray(np.iinfo(kind).min, kind)
    (found,) = simulated("QLinearSoftmax", x, scale, np.asarray(3, kind), F(1 / 256), y_zero, rounding="exact", axis=1)
    terms = np.exp(x.astype(float) * float(scale))
    expected = np.clip(256 * terms / terms.sum(axis=1, keepdims=True), 0, 255)
    assert np.abs(found.astype(int) - int(y_zero) - expected).max() <= 0.501


def test_operands_that_do_not_fit_are_named() -> None:
    one, zero = F(1), np.uint8(0)
    a, b = np.zeros((1, 3, 4, 4), np.uint8), np.zeros((1, 3, 4, 5), np.uint8)
    with pytest.raises(ModelError, match=r"inputs \[1, 3, 4, 4\] and \[1, 3, 4, 5\] do not fit along axis 1"):
        simulated("QLinearConcat", one, zero, a, one, zero, b, one, zero, axis=1)
    with pytest.raises(ModelError, match="integers of type uint16"):
        simulated("QLinearSigmoid", a.astype(np.uint16), one, np.uint16(0), one, zero)
    with pytest.raises(ModelError, match=r"a scale for the whole tensor, has shape \[3\]"):
        simulated("QLinearSigmoid", a, np.ones(3, F), zero, one, zero)
