"""Matrix products of integers in the simulator: onnxruntime's numbers, every one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.errors import ModelError
from tests.support.operators import Array, assert_as_onnxruntime, integers, judged, simulated

F = np.float32
KINDS = [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)]
"""Left and right sides that onnxruntime multiplies."""
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 40)
BATCHES = [((), ()), ((2,), ()), ((2, 3), (2, 3)), ((2, 1), (1, 3)), ((), (2,)), ((3,), (2, 3))]


def grid(random: np.random.Generator, kind: Any, count: int | None = None) -> tuple[Array, Array]:
    """A scale, or one for each column, and a zero-point of the whole type; of int8 columns zero is the middle."""
    scale = np.asarray(np.exp(random.uniform(np.log(1e-3), np.log(0.1), count)), F)
    centre = kind == np.int8 and count is not None
    zero = np.zeros(scale.shape, kind) if centre else integers(random, kind, scale.shape)
    return scale, zero


def factors(
    random: np.random.Generator, batch: tuple[Any, Any], size: tuple[int, int, int], kinds: tuple[Any, Any]
) -> tuple[Array, Array]:
    """Two matrices that fit, each with axes of its own before them."""
    rows, inner, columns = size
    left, right = (*batch[0], rows, inner), (*batch[1], inner, columns)
    return integers(random, kinds[0], left), integers(random, kinds[1], right)


def result_scale(sums: Array, *scales: Any, random: np.random.Generator) -> Array:
    """One that spreads the numbers of the result."""
    largest = max(int(np.abs(sums.astype(np.int64)).max(initial=0)), 1) * np.prod([np.mean(scale) for scale in scales])
    return np.asarray(largest / random.uniform(60, 300), F)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(BATCHES), sizes, sizes, sizes, st.sampled_from(KINDS), st.booleans(), seeds)
def test_qlinear_matmul_is_onnxruntimes(
    batch: tuple[Any, Any], rows: int, inner: int, columns: int, kinds: Any, per_column: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    a, b = factors(random, batch, (rows, inner, columns), kinds)
    per_column = per_column and not batch[1]
    (s_a, z_a), (s_b, z_b) = grid(random, kinds[0]), grid(random, kinds[1], columns if per_column else None)
    (sums,) = simulated("MatMulInteger", a, b, z_a, z_b)
    y = result_scale(sums, s_a, s_b, random=random), integers(random, kinds[0], ())
    assert_as_onnxruntime("QLinearMatMul", a, s_a, z_a, b, s_b, z_b, *y)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(BATCHES), sizes, sizes, sizes, st.sampled_from(KINDS), st.booleans(), seeds)
def test_matmul_integer_is_onnxruntimes(
    batch: tuple[Any, Any], rows: int, inner: int, columns: int, kinds: Any, per_column: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    a, b = factors(random, batch, (rows, inner, columns), kinds)
    _, z_a = grid(random, kinds[0])
    _, z_b = grid(random, kinds[1], columns if per_column and not batch[1] else None)
    assert_as_onnxruntime("MatMulInteger", a, b, z_a, z_b)
    (found,) = simulated("MatMulInteger", a, b, z_a, z_b)
    np.testing.assert_array_equal(found, np.matmul(a.astype(np.int64) - int(z_a), b.astype(np.int64) - z_b.astype(int)))


@settings(max_examples=100, deadline=None)
@given(st.tuples(sizes, sizes, sizes), st.sampled_from(KINDS), st.booleans(), st.booleans(), st.booleans(), seeds)
def test_qgemm_is_onnxruntimes(
    shape: tuple[int, int, int], kinds: Any, across_a: bool, across_b: bool, per_column: bool, seed: int
) -> None:
    random, (rows, inner, columns) = np.random.default_rng(seed), shape
    a = integers(random, kinds[0], (inner, rows) if across_a else (rows, inner))
    b = integers(random, kinds[1], (columns, inner) if across_b else (inner, columns))
    (s_a, z_a), (s_b, z_b) = grid(random, kinds[0]), grid(random, kinds[1], columns if per_column else None)
    attributes = {"transA": int(across_a), "transB": int(across_b), "alpha": float(random.choice([1, 0.5, F(0.3)]))}
    bias_shape = [(rows, columns), (columns,), (1, columns), (rows, 1), (1,), None][random.integers(6)]
    bias = None if bias_shape is None else random.integers(-5000, 5000, bias_shape).astype(np.int32)
    left, right = (m.T if across else m for m, across in ((a, across_a), (b, across_b)))
    (sums,) = simulated("MatMulInteger", left, right, z_a, z_b)
    y = result_scale(sums, s_a, s_b, random=random), integers(random, kinds[0], ())
    assert_as_onnxruntime("QGemm", a, s_a, z_a, b, s_b, z_b, bias, *y, **attributes)
    assert_as_onnxruntime("QGemm", a, s_a, z_a, b, s_b, z_b, bias, None, None, **attributes)


def test_a_vector_times_a_matrix() -> None:
    random = np.random.default_rng(0)
    a, b = integers(random, np.uint8, (7,)), integers(random, np.int8, (7, 3))
    (found,) = simulated("MatMulInteger", a, b)
    np.testing.assert_array_equal(found, a.astype(int) @ b.astype(int))
    assert_as_onnxruntime("MatMulInteger", a, b)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, st.integers(0, 1), st.integers(0, 1), seeds)
def test_float_products_are_onnxruntimes_but_for_the_order_of_their_sums(
    rows: int, inner: int, columns: int, across_a: int, across_b: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    a, b, c = (random.normal(size=shape).astype(F) for shape in ((rows, inner), (inner, columns), (columns,)))
    operands = a.T if across_a else a, b.T if across_b else b, c
    attributes = {"transA": across_a, "transB": across_b, "alpha": 0.5, "beta": 0.25}
    for op_type, inputs, given_ in (("MatMul", (a, b), {}), ("Gemm", operands, attributes)):
        (found,), (expected,) = (run(op_type, *inputs, **given_) for run in (simulated, judged))
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_matrices_that_do_not_fit_are_named() -> None:
    a, b, one = np.zeros((4, 5), np.uint8), np.zeros((6, 3), np.int8), F(1)
    words = r"matrices \[4, 5\] and \[6, 3\] do not fit"
    with pytest.raises(ModelError, match=words):
        simulated("MatMulInteger", a, b)
    with pytest.raises(ModelError, match=words):
        simulated("QLinearMatMul", a, one, np.uint8(0), b, one, np.int8(0), one, np.uint8(0))
    with pytest.raises(ModelError, match=words):
        simulated("MatMul", a.astype(F), b.astype(F))
    with pytest.raises(ModelError, match=r"zero-points \[4\] do not fit \[6, 3\]"):
        simulated("MatMulInteger", a, b, None, np.zeros(4, np.int8))
