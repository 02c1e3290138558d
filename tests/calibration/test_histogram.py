import functools
import math
import operator

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from quantseg.calibration.histogram import BIN_BUDGET, Histogram
from quantseg.errors import CalibrationError
from tests.support.strategies import LARGEST, any_tensors, reals, tensors

TINY = float(np.finfo(np.float32).smallest_subnormal)


def array(*values):
    return np.array(values, np.float32)


def identical(a, b):
    """Equal, and also in the sign of zero: what is written to a file must be the same bytes."""
    return a == b and repr((a.minimum, a.maximum)) == repr((b.minimum, b.maximum))


# A commutative monoid


@given(any_tensors, any_tensors)
@example(array(0.0), array(0.0, 1e-7))
@example(array(-0.0), array(0.0))
@example(array(5.0), array(np.nextafter(np.float32(5), np.float32(6))))
@example(array(TINY), array(LARGEST))
def test_histogram_of_concat_is_sum_of_histograms(x, y):
    assert identical(Histogram.of(np.concatenate([x, y])), Histogram.of(x) + Histogram.of(y))


@given(any_tensors, any_tensors)
def test_sum_is_commutative(x, y):
    a, b = Histogram.of(x), Histogram.of(y)
    assert identical(a + b, b + a)
    assert hash(a + b) == hash(b + a)


@given(any_tensors, any_tensors, any_tensors)
def test_sum_is_associative(x, y, z):
    a, b, c = map(Histogram.of, (x, y, z))
    assert identical((a + b) + c, a + (b + c))


@given(any_tensors)
def test_the_empty_histogram_changes_nothing(x):
    h, empty = Histogram.of(x), Histogram.of(array())
    assert empty == Histogram.empty()
    assert h + empty == h == empty + h
    assert empty + empty == empty


@given(tensors(min_size=2), st.data())
def test_any_split_in_any_order_gives_the_same(x, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, x.size), max_size=6)))
    parts = data.draw(st.permutations(np.split(x, cuts)))
    shuffled = data.draw(st.permutations(x.tolist()))
    total = functools.reduce(operator.add, map(Histogram.of, parts), Histogram.empty())
    assert identical(total, Histogram.of(x))
    assert identical(Histogram.of(array(*shuffled)), total)


# Bins


@given(any_tensors)
@example(array(-LARGEST, LARGEST))
@example(array(TINY, -TINY))
@example(array(1e30, np.nextafter(np.float32(1e30), np.float32(0))))
def test_every_bin_holds_what_lies_between_its_edges(x):
    h = Histogram.of(x)
    inside = (x[:, None] >= h.edges[None, :-1]) & (x[:, None] < h.edges[None, 1:])
    assert np.array_equal(inside.sum(axis=0), h.counts)
    assert h.total == x.size
    assert h.counts[0] > 0
    assert h.counts[-1] > 0
    assert (h.minimum, h.maximum) == (x.min(), x.max())


@given(any_tensors)
def test_bins_are_a_power_of_two_wide_and_aligned(x):
    h = Histogram.of(x)
    assert set(np.diff(h.edges)) == {2.0**h.exponent}
    assert h.edges[0] % 2.0**h.exponent == 0
    assert np.array_equal(h.centres, (h.edges[:-1] + h.edges[1:]) / 2)


@given(reals, reals)
@example(0.0, TINY)
@example(-TINY, TINY)
@example(LARGEST, -LARGEST)
@example(LARGEST, float(np.nextafter(np.float32(LARGEST), np.float32(0))))
@example(1.0, float(np.nextafter(np.float32(1), np.float32(0))))
def test_between_half_and_the_whole_budget_is_spanned(a, b):
    """Any two different float32 values, however close, however far from zero, spread over more than half the bins."""
    assume(a != b)
    assert BIN_BUDGET // 2 < Histogram.of(array(a, b)).counts.size <= BIN_BUDGET


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1e-45, 3e38, -3e38])
def test_a_constant_is_one_bin(value):
    h = Histogram.of(np.full((2, 3), value, np.float32))
    assert (h.counts.tolist(), h.minimum, h.maximum) == ([6], np.float32(value), np.float32(value))
    assert math.copysign(1, h.minimum) == 1 or value < 0


def test_counts_by_hand():
    """[−1, 3] in 4096 bins: width 2⁻¹⁰ would need 4097, so 2⁻⁹ it is. 2⁻⁹ itself opens bin 1."""
    h = Histogram.of(array(-1, -1, 0, 2.0**-9, 2.0**-10, 3))
    assert (h.exponent, h.first_bin, h.counts.size) == (-9, -512, 2049)
    assert {k + h.first_bin: n for k, n in enumerate(h.counts) if n} == {-512: 2, 0: 2, 1: 1, 1536: 1}


def test_a_sample_is_counted_between_the_extrema_of_the_whole():
    h = Histogram.of(array(1, 2), -3.0, 4000.0)
    assert (h.minimum, h.maximum, h.total) == (-3, 4000, 2)
    assert (h.exponent, h.first_bin, h.counts.tolist()) == (0, 1, [1, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad):
    with pytest.raises(CalibrationError, match="only finite ones can"):
        Histogram.of(array(1, bad, 2))


def test_equality_looks_at_everything():
    h = Histogram.of(array(1, 2, 3))
    assert h != Histogram.of(array(1, 2, 2, 3))
    assert h != Histogram.of(array(2, 3, 4))
    assert h != "h"
    assert h == Histogram.of(array(3, 2, 1))


# Other views of the same counts


@pytest.mark.slow
@given(any_tensors)
def test_magnitudes_are_the_histogram_of_the_absolute_values(x):
    """A negative value on the border between two bins lands below the border, not above as a positive one does."""
    h = Histogram.of(x)
    m, size = h.magnitudes(), np.abs(x)
    assert (m.exponent, m.total) == (h.exponent, h.total)
    assert m.maximum == size.max()
    assert m.minimum <= size.min()
    cumulated = np.concatenate([[0], np.cumsum(m.counts)])
    for edge, below in zip(m.edges, cumulated, strict=True):
        assert below == np.sum(np.where(x < 0, size <= edge, size < edge))


@given(any_tensors.map(np.abs))
def test_magnitudes_of_what_is_not_negative_are_itself(x):
    assert Histogram.of(x).magnitudes() == Histogram.of(x)


@given(any_tensors)
@example(array(-1e30, -np.nextafter(np.float32(1e30), np.float32(0))))
@example(array(7.0))
def test_reaching_zero_has_an_edge_at_zero(x):
    h = Histogram.of(x)
    r, border = h.reaching_zero()
    assert r.edges[border] == 0
    assert r.counts.size <= BIN_BUDGET
    assert (r.total, r.minimum, r.maximum) == (h.total, h.minimum, h.maximum)
    assert r.counts[:border].sum() == np.sum(x < 0)
    inside = (x[:, None] >= r.edges[None, :-1]) & (x[:, None] < r.edges[None, 1:])
    assert np.array_equal(inside.sum(axis=0), r.counts)


def test_clipped_keeps_to_where_the_values_are():
    h = Histogram.of(array(2, 3, 5))
    clipped = [h.clipped(*pair) for pair in ((-9, 9), (3, 4), (-9, 1), (6, 9))]
    assert [(r.minimum, r.maximum) for r in clipped] == [(2, 5), (3, 4), (2, 2), (5, 5)]
