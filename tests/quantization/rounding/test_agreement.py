"""Where kernels of different processors differ: by trying every pair, and beside onnxruntime on this one and others."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.quantization.rounding.agreement import PairGrids, apart, differ
from tests.support.operators import judged

scales = st.one_of(
    st.floats(2**-8, 8.0), st.integers(1, 40).map(lambda tenths: tenths / 10), st.integers(-6, 3).map(lambda p: 2.0**p)
)
PAIRS = tuple(np.repeat(np.arange(256), 256)), tuple(np.tile(np.arange(256), 256))


@st.composite
def grids(draw: st.DrawFn, op_type: str) -> PairGrids:
    """PairGrids of two operands and of a result that mostly lies within its type; Add's second may be turned around."""
    s_a, s_b, signed = draw(scales), draw(scales), draw(st.booleans())
    largest = s_a + s_b if op_type == "Add" else s_a * s_b * 255
    s_y = largest * draw(st.sampled_from([0.25, 0.5, 0.6, 1.0, 1.37]))
    sign = draw(st.sampled_from([1, 1, -1])) if op_type == "Add" else 1
    low = -128 if signed else 0
    zeros = draw(st.tuples(*[st.integers(low, low + 255)] * 3))
    return PairGrids(tuple(float(np.float32(scale)) for scale in (s_a, sign * s_b, s_y)), zeros, signed)


def every(made: PairGrids) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """All pairs of integers."""
    a, b = (np.array(side, np.int64) + made.limits[0] for side in PAIRS)
    return a, b


@pytest.mark.parametrize("op_type", ["Add", "Mul"])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_pairs_near_ties_are_all_that_kernels_differ_on(op_type: str, data: st.DataObject) -> None:
    made = data.draw(grids(op_type))
    assert apart(op_type, made) == np.count_nonzero(differ(op_type, made, *every(made)))


@settings(max_examples=20, deadline=None)
@given(grids("Add"), st.lists(st.integers(0, 255), min_size=1, max_size=4), st.lists(st.integers(0, 255), max_size=9))
def test_fewer_integers_have_no_more_pairs_apart(made: PairGrids, few: list[int], more: list[int]) -> None:
    low, high = (tuple(sorted({number + made.limits[0] for number in numbers})) for numbers in (few, few + more))
    assert apart("Add", made, low) <= apart("Add", made, high) <= apart("Add", made)
    a, b = np.meshgrid(low, np.arange(256) + made.limits[0], indexing="ij")
    assert apart("Add", made, low) == np.count_nonzero(differ("Add", made, a.reshape(-1), b.reshape(-1)))


def test_a_sum_of_halves_is_apart_at_every_second_positive_tie() -> None:
    """(a + b) / 2 with all zero-points 0: x86 rounds 0.5 to 0 and 1.5 to 2, ARM both up."""
    a, b = every(PairGrids((1.0, 1.0, 2.0), (0, 0, 0)))
    assert apart("Add", PairGrids((1.0, 1.0, 2.0), (0, 0, 0))) == np.count_nonzero((a + b) % 4 == 1)
    assert apart("Add", PairGrids((1.0, 1.0, 1.0), (3, 7, 100))) == 0


@pytest.mark.parametrize("op_type", ["Add", "Mul"])
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_where_no_kernel_differs_onnxruntime_gives_what_onnx_says(op_type: str, data: st.DataObject) -> None:
    """Its kernel on this processor, beside QuantizeLinear of a float32 sum or product of dequantised numbers."""
    made = data.draw(grids(op_type))
    a, b = every(made)
    alike = ~differ(op_type, made, a, b)
    (s_a, s_b, s_y), (z_a, z_b, z_y) = made.single, made.stored
    one, other = a.astype(z_a.dtype), b.astype(z_b.dtype)
    (found,) = judged(f"QLinear{op_type}", one, s_a, z_a, other, s_b, z_b, s_y, z_y)
    left, right = (a - int(z_a)).astype(np.float32) * s_a, (b - int(z_b)).astype(np.float32) * s_b
    (stated,) = judged("QuantizeLinear", left + right if op_type == "Add" else left * right, s_y, z_y)
    np.testing.assert_array_equal(found[alike], stated[alike])
