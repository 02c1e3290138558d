"""Which roundings carry the error: laws, planted causes that have to be found, and computations by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.calibration.histogram import Histogram
from quantseg.calibration.observation import ChannelExtrema
from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe
from quantseg.errors import DataError
from quantseg.graph.preparation import prepare
from quantseg.mixed_precision.error_sources import ErrorSources, measure
from quantseg.mixed_precision.error_sources.statistics import clipped_share, lost_bits
from quantseg.quantization.affine import Range, dequantize, params_from_range, quantize
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import UINT8
from quantseg.refinement.rounding.compensated import compensate
from quantseg.refinement.steps import on_images
from quantseg.report import error_sources, tables
from tests.support import graphs
from tests.support.candidates import Tensors, candidate, context
from tests.support.quantised import extrema, kernel

RECIPE = Recipe(InputRecipe(size=(6, 6)), OutputRecipe(name="y", layout="NCHW", head="argmax"))
TWO = """
    a = Conv <pads = [1, 1, 1, 1]> (x, w1)
    r = Relu (a)
    y = Conv (r, w2)
"""


def images(count: int = 3) -> Tensors:
    return Tensors(tuple(graphs.noise(1, 2, 6, 6, seed=seed) for seed in range(count)))


def found(body: str, changes=None, **weights) -> ErrorSources:
    """Of a graph on three images. changes: to the calibrated ranges."""
    prepared, data = prepare(graphs.graph(body, **weights)), images()
    ranges = extrema(prepared.model, data.feeds()) | (changes or {})
    start = candidate(prepared, ranges, QuantSettings(), recipe=RECIPE)
    return measure(start.model, start, data, context(data))


def two(**changes) -> ErrorSources:
    return found(TWO, changes, w1=kernel(8, 2, 3, 3, seed=1), w2=kernel(3, 8, 1, 1, seed=2))


@pytest.fixture(scope="module")
def plain() -> ErrorSources:
    return two()


def test_every_rounded_tensor_and_weight_is_measured_and_the_worst_comes_first(plain: ErrorSources) -> None:
    assert {one.name for one in plain.tensors} == {"x", "r", "y"}
    assert {one.made_by for one in plain.tensors} == {"input", "Relu", "Conv"}
    assert len(plain.by_node) == 2
    for risks in ([one.risk for one in plain.tensors], [one.risk for one in plain.by_node]):
        assert risks == sorted(risks, reverse=True)
        assert min(risks) > 0
    assert plain.images == 3


def test_shares_add_up_and_growth_ends_with_all_activations(plain: ErrorSources) -> None:
    assert math.fsum(map(plain.share, plain.tensors)) == pytest.approx(1)
    assert math.fsum(map(plain.share_of, plain.by_node)) == pytest.approx(1)
    assert plain.growth[-1].risk == plain.activations
    assert [one.tensors for one in plain.growth] == [1, 2, 3]
    first = next(one for one in plain.tensors if one.name == plain.growth[0].last)
    assert plain.growth[0].risk == first.risk


def test_a_range_far_too_wide_is_found_as_the_worst_tensor_with_its_lost_bits() -> None:
    known = two()
    wide = two(r=Range(0.0, 400.0))
    worst = wide.tensors[0]
    assert worst.name == "r" != known.tensors[-1].name or known.tensors[0].risk < worst.risk
    assert worst.lost is not None
    assert worst.lost.group > 4
    assert worst.clipped == 0


def test_a_range_far_too_narrow_is_found_as_clipping() -> None:
    narrow = two(r=Range(0.0, 0.05))
    assert narrow.tensors[0].name == "r"
    assert narrow.tensors[0].clipped is not None
    assert narrow.tensors[0].clipped > 0.99


def test_the_channel_that_reaches_the_output_is_found_among_sixty() -> None:
    reading = np.zeros((2, 60, 1, 1), np.float32)
    reading[:, 37, 0, 0] = 1, -1
    some = found(TWO, w1=kernel(60, 2, 3, 3, seed=1), w2=reading, changes={"r": Range(0.0, 90.0)})
    of_r = [one for one in some.channels if one.tensor == "r"]
    assert [one.channels for one in of_r][-1] == (37, 37)
    assert {one.count for one in of_r} == {60}
    assert [one.share for one in of_r] == pytest.approx([1] * len(of_r))
    assert len(of_r) == 2, "eight parts, then a part's channels"


def test_weights_that_were_rounded_together_are_measured_as_a_whole() -> None:
    prepared, data = prepare(graphs.graph(TWO, w1=kernel(8, 2, 3, 3, seed=1), w2=kernel(3, 8, 1, 1, seed=2))), images()
    start = candidate(prepared, extrema(prepared.model, data.feeds()), QuantSettings(), recipe=RECIPE)
    rounded = on_images(compensate, (0, 1, 2))(start, context(data))
    some = measure(start.model, rounded, data, context(data))
    assert some.by_node == ()
    assert 0 < some.weights < some.whole
    again = measure(start.model, start, data, context(data))
    assert {one.name for one in some.tensors} == {one.name for one in again.tensors}


def test_no_images_are_refused() -> None:
    prepared = prepare(graphs.graph(TWO, w1=kernel(8, 2, 3, 3, seed=1), w2=kernel(3, 8, 1, 1, seed=2)))
    start = candidate(prepared, extrema(prepared.model, images().feeds()), QuantSettings(), recipe=RECIPE)
    with pytest.raises(DataError, match="no images"):
        measure(start.model, start, Tensors(()), context())


def test_the_number_of_threads_changes_nothing(plain: ErrorSources) -> None:
    prepared, data = prepare(graphs.graph(TWO, w1=kernel(8, 2, 3, 3, seed=1), w2=kernel(3, 8, 1, 1, seed=2))), images()
    start = candidate(prepared, extrema(prepared.model, data.feeds()), QuantSettings(), recipe=RECIPE)
    assert measure(start.model, start, data, context(data, threads=2)).to_json() == plain.to_json()


def test_its_json_is_plain_and_its_tables_fit(plain: ErrorSources) -> None:
    told = json.loads(json.dumps(plain.to_json(), allow_nan=False))
    assert told["whole"] == plain.whole
    assert [one["name"] for one in told["tensors"]] == [one.name for one in plain.tensors]
    shown = {heading: tables.terminal(headers, rows) for heading, headers, rows in error_sources.sections(plain, top=2)}
    assert len(shown) == 5
    assert max(len(line) for table in shown.values() for line in table.splitlines()) <= tables.WIDTH
    assert plain.tensors[2].name not in {row.split()[0] for row in shown["Tensors"].splitlines()[2:]}
    long = replace(plain, tensors=tuple(replace(one, name=one.name * 90) for one in plain.tensors))
    for _, headers, rows in error_sources.sections(long, top=9):
        assert max(map(len, tables.terminal(headers, rows).splitlines())) <= tables.WIDTH


# What a grid loses.


@given(st.integers(0, 2**31), st.floats(0.1, 50))
def test_clipping_and_rounding_share_the_squared_error_as_numpy_measures_it(seed: int, bound: float) -> None:
    values = np.random.default_rng(seed).normal(0, 10, 20_000).astype(np.float32)
    params = params_from_range(Range(-bound, bound), UINT8, symmetric=False)
    errors = np.square(values - dequantize(quantize(values, params), params), dtype=np.float64)
    outside = np.abs(values) > bound
    share = errors[outside].sum() / errors.sum()
    assert clipped_share(params, Histogram.of(values)) == pytest.approx(share, abs=0.05)


def test_lost_bits_by_hand() -> None:
    values = np.concatenate([np.linspace(0, 1, 100_000), [4.0]]).astype(np.float32)
    channels = ChannelExtrema(np.zeros(3, np.float32), np.array([4, 0.5, 0.25], np.float32))
    params = params_from_range(Range(0.0, 16.0), UINT8, symmetric=False)
    lost = lost_bits(params, Histogram.of(values), channels)
    assert lost.group == pytest.approx(2)
    assert lost.tail == pytest.approx(2, abs=0.01)
    assert lost.channels == pytest.approx(3)


def test_the_grid_of_a_constant_tensor_loses_nothing_that_is_not_finite() -> None:
    zeros = np.zeros(8, np.float32)
    lost = lost_bits(
        params_from_range(Range(0.0, 0.0), UINT8, symmetric=False), Histogram.of(zeros), ChannelExtrema(zeros, zeros)
    )
    assert [lost.group, lost.tail, lost.channels] == [0, 0, 0]
