import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.calibration.histogram import Histogram
from quantseg.evaluation.metrics.sqnr import Sqnr
from quantseg.quantization.affine import Range, dequantize, params_from_range, params_per_channel, quantize
from quantseg.quantization.qtypes import INT8, UINT8
from quantseg.report.ranges import coarser, tensor_range, worst_ranges


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["normal", "laplace", "uniform"]),
    st.floats(0.15, 1.5),
    st.sampled_from([UINT8, INT8]),
    st.floats(1e-3, 1e3),
)
def test_the_estimate_is_near_the_sqnr_of_quantising_the_values(seed, law, clip, qtype, size):
    rng = np.random.default_rng(seed)
    values = (getattr(rng, law)(size=20_000) * size).astype(np.float32)
    params = params_from_range(Range(float(clip * values.min()), float(clip * values.max())), qtype)
    measured = Sqnr.from_outputs(values, dequantize(quantize(values, params), params)).decibels()
    estimate = tensor_range("x", Histogram.of(values), params)
    assert estimate.sqnr_db == pytest.approx(measured, abs=0.5)
    outside = (values < estimate.clip.minimum) | (values > estimate.clip.maximum)
    assert estimate.clipped == pytest.approx(outside.mean(), abs=0.01)


@given(st.integers(1, 500), st.integers(1, 200))
def test_a_coarser_histogram_counts_the_same_values(size, bins):
    histogram = Histogram.of(np.random.default_rng(size).normal(size=size).astype(np.float32))
    edges, counts = coarser(histogram, bins)
    assert len(edges) == len(counts) + 1 <= bins + 1
    assert counts.sum() == size
    assert (edges[0], edges[-1]) == (histogram.edges[0], histogram.edges[-1])
    assert (np.diff(edges) > 0).all()


def test_used_is_the_share_of_the_grid_between_the_extrema():
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    params = params_from_range(Range(0.0, 4.0), UINT8)
    assert tensor_range("x", Histogram.of(values), params).used == pytest.approx(0.25, abs=0.01)


def test_the_worst_come_first_and_tensors_without_one_grid_are_left_out():
    values = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    histogram = Histogram.of(values)
    fine = params_from_range(Range(-4.0, 4.0), UINT8)
    coarse = params_from_range(Range(-400.0, 400.0), UINT8)
    ones = np.ones(3, np.float32)
    grids = {
        "fine": fine,
        "coarse": coarse,
        "channels": params_per_channel(-ones, ones, INT8, axis=0, symmetric=True),
        "dead": fine,
    }
    histograms = dict.fromkeys(("fine", "unplanned", "coarse", "channels"), histogram)
    histograms["dead"] = Histogram.of(np.zeros(9, np.float32))
    assert [tensor.name for tensor in worst_ranges(histograms, grids, 9)] == ["coarse", "fine"]
    assert [tensor.name for tensor in worst_ranges(histograms, grids, 1)] == ["coarse"]
