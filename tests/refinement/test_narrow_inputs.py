"""Inputs that fill a small part of their grid are read in float; all others as before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.calibration.histogram import Histogram
from quantseg.graph.preparation import prepare
from quantseg.quantization.affine import Range, params_from_range
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import UINT8
from quantseg.refinement.levels.inputs import REASON, WASTED, keep_narrow_inputs, wasted_bits
from tests.support import graphs
from tests.support.candidates import Tensors, candidate, observed
from tests.support.quantised import extrema, kernel

BODY = """
    a = Conv <pads = [1, 1, 1, 1]> (x, w1)
    r = Relu (a)
    y = Conv (r, w2)
"""


def kept(images: Tensors) -> dict[str, str]:
    weights = {"w1": kernel(4, 2, 3, 3, seed=1), "w2": kernel(3, 4, 1, 1, seed=2)}
    prepared = prepare(graphs.graph(BODY, **weights))
    start = candidate(prepared, extrema(prepared.model, images.feeds()), QuantSettings())
    return dict(keep_narrow_inputs(start, observed(prepared, images)).overrides.kept_float)


def photographs(low: float, high: float) -> Tensors:
    random = np.random.default_rng(0)
    return Tensors(tuple(random.uniform(low, high, (1, 2, 6, 6)).astype(np.float32) for _ in range(3)))


@pytest.mark.parametrize(
    ("low", "high", "narrow"),
    [(0.48, 0.52, True), (-0.52, -0.48, True), (0.0, 1.0, False), (-2.1, 2.6, False), (0.3, 0.9, False)],
)
def test_the_first_layer_alone_stays_float_where_an_input_lies_far_from_zero(
    low: float, high: float, narrow: bool
) -> None:
    reasons = kept(photographs(low, high))
    assert set(reasons.values()) == ({REASON} if narrow else set())
    assert len(reasons) == narrow


@given(st.floats(0.01, 100), st.floats(0.05, 1.0), st.integers(0, 2**31))
def test_what_a_range_wastes_does_not_depend_on_its_unit(unit: float, width: float, seed: int) -> None:
    values = np.random.default_rng(seed).uniform(1 - width, 1, 5_000).astype(np.float32)

    def wasted(scaled: np.ndarray) -> float:
        return wasted_bits(
            params_from_range(Range(0.0, float(scaled.max())), UINT8, symmetric=False), Histogram.of(scaled)
        )

    assert wasted(values) == pytest.approx(-np.log2(width), abs=0.1)
    assert wasted(values * np.float32(unit)) == pytest.approx(wasted(values), abs=0.05)


def test_a_rare_bright_point_wastes_bits_too() -> None:
    values = np.append(np.linspace(0, 1, 10_000, dtype=np.float32), np.float32(16))
    params = params_from_range(Range(0.0, 16.0), UINT8, symmetric=False)
    assert wasted_bits(params, Histogram.of(values)) == pytest.approx(4, abs=0.1)
    assert WASTED < 4
