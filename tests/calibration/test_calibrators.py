import contextlib
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization.calibrate import HistogramCollector

from quantseg.calibration import histogram
from quantseg.calibration.calibrators import CALIBRATORS, calibrator
from quantseg.calibration.histogram import Histogram
from quantseg.errors import CalibrationError
from quantseg.quantization.affine import Range, dequantize, params_from_range, quantize
from quantseg.quantization.qtypes import INT4, INT8, QTYPES, UINT4, UINT8
from tests.support.strategies import STORED, any_tensors, moderate, tensors

NORMAL = np.random.default_rng(0).normal(size=49_999).astype(np.float32)
TENSORS = {
    "normal": NORMAL,
    "after a ReLU": np.maximum(NORMAL, 0),
    "laplace": np.random.default_rng(1).laplace(size=49_999).astype(np.float32),
    "exponential": np.random.default_rng(2).exponential(size=49_999).astype(np.float32),
    "uniform": np.random.default_rng(3).uniform(-1, 3, 49_999).astype(np.float32),
    "heavy tails": np.random.default_rng(4).standard_t(3, 49_999).astype(np.float32),
    "an outlier": np.append(NORMAL, np.float32(100)),
    "far from zero": 100 + NORMAL / 100,
    "negative": -1 - np.abs(NORMAL),
    "constant": np.full(999, 100.45, np.float32),
    "two values": np.array([-1, 1], np.float32),
}
TYPES = st.sampled_from(STORED)


@pytest.fixture(params=TENSORS)
def values(request):
    return TENSORS[request.param]


@pytest.fixture(params=[False, True], ids=["asymmetric", "symmetric"])
def symmetric(request):
    return request.param


@pytest.fixture(params=CALIBRATORS)
def choose(request):
    return CALIBRATORS[request.param]


def squared_error(x, span, qtype, symmetric):
    p = params_from_range(span, qtype, symmetric=symmetric)
    return float(np.mean((dequantize(quantize(x, p), p) - x.astype(np.float64)) ** 2))


# Laws of every calibrator


@pytest.mark.parametrize("name", CALIBRATORS)
@settings(max_examples=50)
@given(any_tensors, TYPES, st.booleans())
def test_the_range_lies_within_the_extrema_and_zero(name, x, qtype, symmetric):
    chosen, whole = CALIBRATORS[name](Histogram.of(x), qtype, symmetric=symmetric), Range(x.min(), x.max())
    assert whole.with_zero() == whole.with_zero() | chosen
    assert math.copysign(1, chosen.minimum) == 1 or chosen.minimum < 0, "−0.0 would be written to the file"


@pytest.mark.parametrize("name", CALIBRATORS)
@settings(max_examples=30)
@given(tensors(moderate, min_size=2), TYPES, st.booleans(), st.integers(-30, 30))
def test_doubled_values_get_a_doubled_range(name, x, qtype, symmetric, exponent):
    factor = 2.0**exponent
    plain, scaled = (
        CALIBRATORS[name](Histogram.of(v), qtype, symmetric=symmetric) for v in (x, x * np.float32(factor))
    )
    assert scaled == Range(plain.minimum * factor, plain.maximum * factor)


@pytest.mark.parametrize("qtype", [UINT8, INT8, INT4, UINT4], ids=lambda qtype: qtype.name)
def test_the_bulk_is_kept(choose, values, qtype, symmetric):
    """Nineteen values of twenty err by less than one step of the grid that covers everything."""
    step = params_from_range(Range(values.min(), values.max()), qtype, symmetric=symmetric).scale
    span = choose(Histogram.of(values), qtype, symmetric=symmetric)
    p = params_from_range(span, qtype, symmetric=symmetric)
    errors = np.abs(dequantize(quantize(values, p), p) - values)
    assert np.mean(errors <= step) >= 0.95


def test_zeros_have_a_range_of_zero(choose, symmetric):
    assert repr(choose(Histogram.of(np.zeros(9, np.float32)), UINT8, symmetric=symmetric)) == repr(Range(0.0, 0.0))


@pytest.mark.parametrize("constant", [100.45, -100.45, 1e-40, 3e38])
def test_a_constant_stays_on_the_grid(choose, symmetric, constant):
    x = np.full(100, constant, np.float32)
    span = choose(Histogram.of(x), INT8, symmetric=symmetric)
    p = params_from_range(span, INT8, symmetric=symmetric)
    assert np.all(np.abs(dequantize(quantize(x, p), p) - x) <= p.scale / 2)


# minmax


def test_minmax_is_the_exact_extrema(values, symmetric):
    span = CALIBRATORS["minmax"](Histogram.of(values), UINT8, symmetric=symmetric)
    assert (span.minimum, span.maximum) == (values.min(), values.max())


# percentile


def onnxruntime_range(x, method, *, symmetric=False, bins=2048, percent=99.99):
    """The range that onnxruntime's histogram calibrater chooses for one batch of values, and its bin width."""
    collector = HistogramCollector(method, symmetric, bins, 128, percent, None)
    with contextlib.redirect_stdout(io.StringIO()):
        collector.collect({"x": x})
        low, high, *_ = collector.compute_collection_result()["x"]
    edges = collector.get_histogram_dict()["x"][1]
    return float(low), float(high), float(edges[1] - edges[0])


@pytest.mark.parametrize("percent", [99.0, 99.9, 99.99])
@pytest.mark.parametrize("name", ["normal", "after a ReLU", "laplace", "exponential", "uniform", "heavy tails"])
def test_percentile_is_onnxruntimes_to_one_bin(name, percent, symmetric):
    """Known to differ: onnxruntime returns the left edge of the bin that it hits, so its upper clip leaves out values
    that the percentage asks for; here it is the right edge. The bins differ too, so one of either kind is allowed."""
    x = TENSORS[name]
    theirs_low, theirs_high, width = onnxruntime_range(x, "percentile", symmetric=symmetric, percent=percent)
    h = Histogram.of(x)
    ours = calibrator("percentile", percent=percent)(h, INT8, symmetric=symmetric)
    width += 2.0**h.exponent
    assert 0 <= ours.maximum - theirs_high <= width or ours.maximum == x.max()
    assert abs(ours.minimum - theirs_low) <= width


def test_percentile_on_the_same_bins_is_one_bin_above_onnxruntimes():
    """[0, 4] makes 2048 bins of 2⁻⁹ on both sides; theirs is the left edge of the bin that is hit, ours the right."""
    x = np.append(np.minimum(np.abs(NORMAL), 3.9), [0, 4]).astype(np.float32)
    _, theirs, width = onnxruntime_range(x, "percentile", symmetric=True, percent=99)
    assert width == 2.0 ** Histogram.of(x).exponent == 2.0**-9
    assert calibrator("percentile", percent=99)(Histogram.of(x), INT8, symmetric=True).maximum == theirs + width


@pytest.mark.parametrize("percent", [60, 99, 99.5, 100])
def test_percentile_of_evenly_spread_values(percent):
    """0, 1 … 9999, so the values themselves are the percentages, to the bins' width of 4."""
    h = Histogram.of(np.arange(10_000, dtype=np.float32))
    choose, width = calibrator("percentile", percent=percent), 2.0**h.exponent
    assert width == 4
    assert choose(h, UINT8, symmetric=True).maximum == pytest.approx(100 * percent, abs=width)
    two_sided = choose(h, UINT8, symmetric=False)
    assert two_sided.minimum == pytest.approx(50 * (100 - percent), abs=width)
    assert two_sided.maximum == pytest.approx(10_000 - 50 * (100 - percent), abs=width)


@pytest.mark.parametrize("percent", [90, 99.9])
def test_percentile_keeps_its_share_of_the_values(values, percent, symmetric):
    span = calibrator("percentile", percent=percent)(Histogram.of(values), UINT8, symmetric=symmetric)
    reach = max(-span.minimum, span.maximum)
    kept = np.abs(values) <= reach if symmetric else (values >= span.minimum) & (values <= span.maximum)
    assert np.mean(kept) >= percent / 100


@pytest.mark.parametrize("percent", [50, 100.1, -1, math.nan])
def test_a_percentile_that_makes_no_sense_is_refused(percent):
    with pytest.raises(CalibrationError, match=r"is outside \(50, 100\]"):
        calibrator("percentile", percent=percent)


def test_a_percentile_for_another_calibrator_is_refused():
    with pytest.raises(CalibrationError, match="given to the mse calibrator; use calibrator=percentile"):
        calibrator("mse", percent=99)


def test_an_unknown_calibrator_is_refused_with_the_known_ones():
    with pytest.raises(CalibrationError, match=f"'best' is no calibrator; .*{', '.join(CALIBRATORS)}"):
        calibrator("best")


# mse


@pytest.mark.parametrize(("qtype", "optimum"), [(UINT4, 2.55), (UINT8, 3.92)])
def test_mse_clips_a_gaussian_where_the_theory_says(qtype, optimum):
    """Banner et al., arXiv:1810.05723, table of optimal clips in σ. The density is exact: no sampling noise.

    To 2 %, for their step divides the range by 2^bits and a real one by 2^bits − 1.
    """
    k = np.arange(-6 * 256, 6 * 256)
    counts = np.round(1e9 * np.exp(-((k + 0.5) ** 2) / 2**17)).astype(np.int64)
    h = Histogram(-8, int(k[0]), counts, -6.0, 6.0)
    for symmetric in (False, True):
        span = CALIBRATORS["mse"](h, qtype, symmetric=symmetric)
        assert span.maximum == pytest.approx(optimum, rel=0.02)
        assert span.minimum == pytest.approx(-optimum, rel=0.02)


@pytest.mark.parametrize("bits", [4, 8])
def test_mse_is_close_to_the_best_of_all_clips(values, bits, symmetric):
    """The model of the error (S²/12, and the distance to the clip) against quantising the values with every clip.

    The model knows no single levels, so where a few values are all there is, a little of a step is allowed.
    """
    qtype = QTYPES[f"int{bits}" if symmetric else f"uint{bits}"]
    clips = [Range(values.min() * f, values.max() * f) for f in np.linspace(0.005, 1, 200)]
    best = min(squared_error(values, clip, qtype, symmetric) for clip in clips)
    span = CALIBRATORS["mse"](Histogram.of(values), qtype, symmetric=symmetric)
    step = float(params_from_range(clips[-1], qtype, symmetric=symmetric).scale)
    assert squared_error(values, span, qtype, symmetric) <= 1.1 * best + 0.01 * step**2


# entropy


def divergence(counts, clip, levels):
    """KL(P ‖ Q) as Migacz describes it, one bin at a time, for bins 0 … clip−1."""
    p = [*counts[: clip - 1], sum(counts[clip - 1 :])]
    q = [0.0] * clip
    for level in range(levels):
        group = range(level * clip // levels, (level + 1) * clip // levels)
        occupied = [i for i in group if counts[i]]
        for i in occupied:
            q[i] = sum(counts[j] for j in group) / len(occupied)
    if any(p[i] and not q[i] for i in range(clip)):
        return math.inf
    total_p, total_q = sum(p), sum(q)
    return sum(p[i] / total_p * math.log(p[i] * total_q / (q[i] * total_p)) for i in range(clip) if p[i])


@pytest.mark.parametrize("name", ["normal", "laplace", "exponential", "heavy tails", "an outlier"])
def test_entropy_finds_the_least_divergence_of_all_clips(name, monkeypatch):
    """Eight magnitudes of int4 on a small histogram, every clip tried."""
    monkeypatch.setattr(histogram, "BIN_BUDGET", 256)
    h = Histogram.of(np.abs(TENSORS[name]))
    assert h.first_bin == 0
    counts, levels = h.counts.tolist(), 7
    best = min(
        divergence(counts, clip, levels)
        for clip in range(levels, len(counts) + 1)
        if sum(counts[:clip]) > 0.95 * sum(counts)
    )
    top = CALIBRATORS["entropy"](h, INT4, symmetric=True).maximum
    assert divergence(counts, math.ceil(top * 2.0**-h.exponent), levels) <= 1.1 * best


def test_entropy_of_onnxruntime_is_min_max_and_ours_is_not():
    """`quantize_static` leaves 128 bins to be told apart by 128 levels: one candidate, the whole range (FACTS).
    Here the outlier is cut off, and nothing else."""
    x = TENSORS["an outlier"]
    low, high, _ = onnxruntime_range(x, "entropy", bins=128)
    assert (low, high) == (x.min(), x.max())
    for symmetric in (False, True):
        span = CALIBRATORS["entropy"](Histogram.of(x), UINT8, symmetric=symmetric)
        assert 3.5 < span.maximum < 6
        assert -6 < span.minimum < -3.5


def test_entropy_ignores_how_many_values_are_exactly_zero():
    few, many = (
        CALIBRATORS["entropy"](
            Histogram.of(np.append(TENSORS["after a ReLU"], np.zeros(n, np.float32))), UINT8, symmetric=False
        )
        for n in (0, 10**6)
    )
    assert few.maximum == pytest.approx(many.maximum, rel=0.05)


def test_entropy_with_fewer_bins_than_levels_has_nothing_to_choose(symmetric):
    x = np.array([-3, 0, 5], np.float32)
    coarse = Histogram(0, -3, np.array([1, 0, 0, 1, 0, 0, 0, 0, 1]), -3.0, 5.0)
    assert CALIBRATORS["entropy"](coarse, UINT8, symmetric=symmetric) == Range(x.min(), x.max())
