"""From observations to the ranges of a table: by which calibrator, for which integers."""

import numpy as np
import pytest

from quantseg.calibration.calibrators import CALIBRATORS, calibrator
from quantseg.calibration.choosing import Choice, choose_ranges, masks
from quantseg.calibration.histogram import Histogram
from quantseg.calibration.observation import ImageId, Observations
from quantseg.errors import CalibrationError
from quantseg.quantization.affine import Range
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import INT8, UINT8
from quantseg.quantization.ranges import RangeTable


def seen(values):
    return Observations({"t": Histogram.of(values)}, {}, (ImageId("a", "0"), ImageId("b", "1")))


def test_ranges_come_from_the_calibrator_with_its_settings(monkeypatch):
    asked = []

    def choose(histogram, qtype, *, symmetric):
        asked.append((histogram, qtype, symmetric))
        return Range(-1, histogram.maximum)

    monkeypatch.setitem(CALIBRATORS, "own", choose)
    ones = np.ones(3, np.float32)
    table = choose_ranges(seen(ones), "digest", Choice("own", qtype=UINT8, symmetric=True))
    assert asked == [(Histogram.of(ones), UINT8, True)]
    assert table == RangeTable({"t": Range(-1, 1)}, "digest", UINT8, True, "own", None, images=2)


def test_the_percent_goes_to_the_percentile_calibrator():
    values = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    table = choose_ranges(seen(values), "digest", Choice("percentile", 99.0, INT8))
    expected = calibrator("percentile", percent=99.0)(Histogram.of(values), INT8, symmetric=False)
    assert (table.ranges, table.calibrator, table.percent) == ({"t": expected}, "percentile", 99.0)
    assert expected != choose_ranges(seen(values), "digest", Choice("percentile", qtype=INT8)).ranges["t"]


def test_ranges_need_an_image():
    with pytest.raises(CalibrationError, match="no image was observed; give at least one"):
        choose_ranges(Observations.empty(), "digest", Choice("mse"))


def test_a_calibrator_that_does_not_exist_is_refused():
    with pytest.raises(CalibrationError, match="'guess' is no calibrator; choose one of minmax"):
        choose_ranges(seen(np.ones(3, np.float32)), "digest", Choice("guess"))


@pytest.mark.parametrize("settings", [QuantSettings(activation=INT8, symmetric=True), QuantSettings(symmetric=True)])
def test_a_choice_follows_the_grid_of_the_settings(settings):
    grid = settings.activation, settings.symmetric
    assert Choice("mse").with_grid(settings) == Choice("mse", None, *grid)
    table = RangeTable({}, "digest", UINT8, False, "percentile", 99.9)
    assert Choice.like(table, settings) == Choice("percentile", 99.9, *grid)


@pytest.mark.parametrize("mask", [-65504.0, -1e9, -3.4e38, 1e9])
def test_numbers_that_mask_get_no_range(mask):
    values = np.random.default_rng(0).normal(scale=3, size=4000).astype(np.float32)
    assert not masks(Histogram.of(values))
    values[::3] = mask
    assert masks(Histogram.of(values))
    table = choose_ranges(seen(values), "digest", Choice())
    assert (table.ranges, table.unbounded) == ({}, {"t"})


@pytest.mark.parametrize("values", [[-1e9, -2e9, 0], [-1e9, -1e9], [-1e9, -3e8, 1], [-1000, 1, 2], [1e9, -1e9, 3]])
def test_large_numbers_that_a_grid_tells_apart_are_values(values):
    assert not masks(Histogram.of(np.array(values, np.float32))) or values == [-1e9, -2e9, 0]
