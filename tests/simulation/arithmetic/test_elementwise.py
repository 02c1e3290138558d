"""QLinearAdd and QLinearMul in the simulator: onnxruntime's numbers for every pair, and exact ones beside fractions."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.errors import ModelError
from quantseg.quantization.rounding.requantisation import ROUNDINGS
from tests.support.operators import Array, assert_as_onnxruntime, assert_equal, integers, simulated

F = np.float32
OPERATORS = ["QLinearAdd", "QLinearMul"]
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from([np.uint8, np.int8])
scales = st.one_of(
    st.floats(1e-3, 0.5).map(F),
    st.integers(-8, 0).map(lambda power: F(2.0**power)),
    st.sampled_from([F(0.1), F(1) / F(3), F(0.007843138)]),
)


def every(kind: Any) -> Array:
    """All integers of an 8-bit type."""
    return np.arange(256, dtype=np.uint8).view(kind)


@st.composite
def grids(draw: st.DrawFn, op_type: str, kind: Any) -> tuple[tuple[F, Array], tuple[F, Array], tuple[F, Array]]:
    """(scale, zero-point) of both operands and of a result that seldom saturates."""
    info = np.iinfo(kind)
    zeros = st.one_of(st.sampled_from([info.min, info.max, 0]), st.integers(info.min, info.max))
    first, second = draw(scales), draw(scales)
    largest = first + second if op_type == "QLinearAdd" else first * second * F(255)
    y_scale = largest * draw(st.one_of(st.floats(0.2, 1.5), st.sampled_from([0.5, 1.0])).map(F))
    return tuple((np.asarray(s, F), np.asarray(draw(zeros), kind)) for s in (first, second, y_scale))  # type: ignore[return-value]


@pytest.mark.parametrize("op_type", OPERATORS)
@settings(max_examples=60, deadline=None)
@given(kinds, st.data())
def test_every_pair_of_integers_gives_onnxruntimes_number(op_type: str, kind: Any, data: st.DataObject) -> None:
    (s_a, z_a), (s_b, z_b), y = data.draw(grids(op_type, kind))
    a, b = np.repeat(every(kind), 256), np.tile(every(kind), 256)
    assert_as_onnxruntime(op_type, a, s_a, z_a, b, s_b, z_b, *y)


SHAPES = [
    ((), (2, 3, 4, 5)), ((2, 3, 4, 5), ()), ((1,), (2, 3, 4, 5)), ((2, 3, 4, 5), (1,)), ((1, 1, 1, 1), (3, 4)),
    ((1, 3, 1, 1), (2, 3, 4, 5)), ((2, 3, 4, 5), (1, 3, 1, 1)), ((3, 1, 1), (2, 3, 4, 5)), ((2, 3, 4, 5), (3, 1, 1)),
    ((5,), (2, 3, 4, 5)), ((2, 3, 4, 5), (5,)), ((2, 3, 1, 1), (2, 3, 4, 5)), ((2, 3, 4, 5), (2, 3, 4, 1)),
    ((2, 3, 4, 1), (2, 3, 4, 5)), ((4, 1), (1, 5)), ((1, 5), (4, 1)), ((2, 1, 4, 1), (1, 3, 1, 5)), ((3, 1), (1, 1)),
    ((1, 1), (3, 1)), ((1, 3, 1, 1), (1, 3, 1, 1)), ((1, 33), (7, 33)), ((7, 33), (7, 1)), ((1, 40), (1, 1)),
    ((1, 8, 1, 1), (1, 8, 17, 31)), ((1, 8, 17, 31), (1, 8, 1, 1)),
]  # fmt: skip


@pytest.mark.parametrize("op_type", OPERATORS)
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SHAPES), kinds, st.data(), seeds)
def test_operands_are_broadcast_as_onnxruntime_does(
    op_type: str, shapes: tuple[tuple[int, ...], tuple[int, ...]], kind: Any, data: st.DataObject, seed: int
) -> None:
    random = np.random.default_rng(seed)
    a, b = (integers(random, kind, shape) for shape in shapes)
    (s_a, z_a), (s_b, z_b), y = data.draw(grids(op_type, kind))
    assert_as_onnxruntime(op_type, a, s_a, z_a, b, s_b, z_b, *y)


@pytest.mark.parametrize("op_type", OPERATORS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize(("one", "other"), [((1, 2, 220, 190), (1, 2, 220, 190)), ((1, 2, 1, 1), (1, 2, 220, 190))])
def test_large_tensors_are_looked_up_and_the_same(
    op_type: str, rounding: str, one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    random = np.random.default_rng(5)
    a, b = integers(random, np.uint8, one), integers(random, np.uint8, other)
    rest = F(0.02), np.uint8(3), F(0.03), np.uint8(200)
    grid = F(0.07 if op_type == "QLinearAdd" else 0.3), np.uint8(90)
    (whole,) = simulated(op_type, a, *rest[:2], b, *rest[2:], *grid, rounding=rounding)
    rows = [
        simulated(op_type, a[:, :, i : i + 1] if a.shape[2] > 1 else a, *rest[:2], b[:, :, i : i + 1], *rest[2:], *grid,
                  rounding=rounding)[0]
        for i in range(0, 220, 20)
    ]  # fmt: skip
    assert_equal([whole[:, :, ::20]], [np.concatenate(rows, 2)])
    if rounding == "onnxruntime":
        assert_as_onnxruntime(op_type, a, *rest[:2], b, *rest[2:], *grid)


@pytest.mark.parametrize("op_type", OPERATORS)
@settings(max_examples=60, deadline=None)
@given(kinds, st.data(), seeds)
def test_exact_is_the_fraction_rounded_to_even(op_type: str, kind: Any, data: st.DataObject, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = integers(random, kind, (200,)), integers(random, kind, (200,))
    (s_a, z_a), (s_b, z_b), (s_y, z_y) = data.draw(grids(op_type, kind))
    r_a, r_b, r_y = (Fraction(float(scale)) for scale in (s_a, s_b, s_y))
    reals = [((int(p) - int(z_a)) * r_a, (int(q) - int(z_b)) * r_b) for p, q in zip(a, b, strict=True)]
    exact = [round((p + q if op_type == "QLinearAdd" else p * q) / r_y) + int(z_y) for p, q in reals]
    info = np.iinfo(kind)
    expected = np.clip(exact, info.min, info.max).astype(kind)
    assert_equal(simulated(op_type, a, s_a, z_a, b, s_b, z_b, s_y, z_y, rounding="exact"), [expected])


@pytest.mark.slow
@pytest.mark.parametrize("op_type", OPERATORS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@settings(max_examples=40, deadline=None)
@given(kinds, st.data())
def test_no_way_is_more_than_a_step_from_exact(op_type: str, rounding: str, kind: Any, data: st.DataObject) -> None:
    (s_a, z_a), (s_b, z_b), y = data.draw(grids(op_type, kind))
    operands = every(kind)[:, None], s_a, z_a, every(kind)[None, :], s_b, z_b, *y
    found, exact = (simulated(op_type, *operands, rounding=way)[0].astype(int) for way in (rounding, "exact"))
    assert np.abs(found - exact).max() <= 1


@pytest.mark.parametrize("op_type", OPERATORS)
def test_shapes_that_do_not_broadcast_are_named(op_type: str) -> None:
    a, b, one = np.zeros((1, 3, 4, 4), np.uint8), np.zeros((1, 3, 4, 5), np.uint8), F(1)
    with pytest.raises(ModelError, match=r"inputs \[1, 3, 4, 4\] and \[1, 3, 4, 5\] do not fit"):
        simulated(op_type, a, one, None, b, one, None, one, None)
