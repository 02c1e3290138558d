"""Narrower ranges: the rarest values are cut off where no mask needs them, and kept where one does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.data.recipe import OutputRecipe
from quantseg.graph.preparation import prepare
from quantseg.mixed_precision.risk import ReferenceOutputs, sources
from quantseg.refinement.range_search import effective_images, narrowed
from tests.support import graphs
from tests.support.candidates import Tensors, calibrated, context, observed
from tests.support.quantised import noise

SIZE, SPIKE = 96, 100.0
OUTPUT = OutputRecipe(name="y", layout="NCHW", head="argmax")


def with_spikes(seed: int):
    """An image with one value in its last channel that is a hundred times as large as the others."""
    x = noise(1, 3, SIZE, SIZE, seed=seed)
    x[0, 2, seed + 3, 2 * seed + 5] = SPIKE
    return x


def case(decided_by_spike: bool):
    """A candidate of a model of two classes, and all else that `narrowed` takes.

    decided_by_spike: the second class is where the last channel is large; otherwise that channel is next to nothing.
    """
    weight = np.zeros((2, 3, 1, 1), np.float32)
    weight[:, :2, 0, 0] = 0.0 if decided_by_spike else np.array([[1.0, 0.0], [0.0, 1.0]])
    weight[:, 2, 0, 0] = [0.0, 1.0] if decided_by_spike else [1e-3, 0.0]
    bias = np.array([60.0 if decided_by_spike else 0.0, 0.0], np.float32)
    body, size = "y = Conv(x, w, b)", f"float[1,3,{SIZE},{SIZE}]"
    prepared = prepare(graphs.graph(body, x=size, w=weight, b=bias))
    data = Tensors(tuple(map(with_spikes, range(4))))
    given_ = calibrated(prepared, data)
    reference = ReferenceOutputs.of(prepared.model, data.feeds(), OUTPUT, threads=1)
    return (
        given_,
        observed(prepared, data),
        sources(given_, reference, context(threads=1)),
        reference,
        context(threads=1),
    )


def test_rare_values_that_no_mask_needs_are_cut_off():
    before, _, found, reference, _ = given_ = case(decided_by_spike=False)
    narrower, left = narrowed(*given_)
    known, ranges = {source.name: source.risk for source in found}, narrower.ranges.ranges
    assert ranges["x"].maximum < SPIKE / 10
    assert ranges["x"].minimum >= before.ranges.ranges["x"].minimum
    count = sum(span != before.ranges.ranges[name] for name, span in ranges.items())
    note = f"the ranges of {count} tensors leave out their rarest values, by measurement of the masks"
    assert narrower.notes == (note,)
    now = {source.name: source.risk for source in left}
    assert now["x"] < known["x"] / 2
    assert [source.nodes for source in left] == [source.nodes for source in found]
    measured = sources(narrower, reference, context(threads=1))
    assert now["x"] == pytest.approx({source.name: source.risk for source in measured}["x"])


def test_rare_values_that_are_a_class_are_kept():
    before, _, found, *_ = given_ = case(decided_by_spike=True)
    after, left = narrowed(*given_)
    assert after.ranges.ranges["x"] == before.ranges.ranges["x"]
    assert left == found


def test_threads_and_the_order_of_sources_change_nothing():
    *given_, found, reference, single = case(decided_by_spike=False)
    one = narrowed(*given_, found, reference, single)
    assert narrowed(*given_, found, reference, context(threads=2)) == one
    narrower, left = narrowed(*given_, tuple(reversed(found)), reference, single)
    assert (narrower, tuple(reversed(left))) == one


def test_where_nothing_is_at_risk_nothing_is_tried():
    *given_, found, reference, _ = case(decided_by_spike=False)
    harmless = tuple(replace(source, risk=0.0) for source in found)
    after, left = narrowed(*given_, harmless, reference, context(threads=1, track=_none_expected))
    assert after is given_[0]
    assert left == harmless


def _none_expected(items, *, total, what):
    assert total == 0
    return items


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=20), st.floats(0.1, 10.0), st.integers(0, 5))
def test_speaking_counts_the_images_that_bear_the_risk(risks, factor, silent):
    count = effective_images(risks)
    assert 1 - 1e-9 <= count <= len(risks) + 1e-9
    assert effective_images([*risks, *[0.0] * silent]) == pytest.approx(count)
    assert effective_images([factor * risk for risk in risks]) == pytest.approx(count)
    assert effective_images([risks[0]] * len(risks)) == pytest.approx(len(risks))


def test_no_risk_speaks_of_nothing():
    assert effective_images([0.0, 0.0]) == 0.0
