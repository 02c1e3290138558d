"""From observations to ranges: one calibrator over every observed tensor."""

from dataclasses import dataclass, replace

import numpy as np

from quantseg.calibration.calibrators import calibrator
from quantseg.calibration.histogram import Histogram
from quantseg.calibration.observation import Observations
from quantseg.errors import CalibrationError
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import UINT8, QType
from quantseg.quantization.ranges import RangeTable

DEFAULT_CALIBRATOR = "minmax"
"""In segmentation, rare values often belong to a rare class, so clipped outliers may be the pixels that matter. On the
real models measured, every calibrator that clips is much worse on some of the images."""
MASK = 1e4
"""Least magnitude of a number that masks, as −65504, −1e9 and −3.4e38 do; −100 and −1000 are taken for values."""


@dataclass(frozen=True)
class Choice:
    """How ranges are chosen, and for which integers. percent: of the percentile calibrator; None is its default."""

    calibrator: str = DEFAULT_CALIBRATOR
    percent: float | None = None
    qtype: QType = UINT8
    symmetric: bool = False

    @staticmethod
    def like(table: RangeTable, settings: QuantSettings) -> "Choice":
        """The table's calibrator and percent, with the activation type and symmetry of these settings."""
        return Choice(table.calibrator, table.percent, settings.activation, settings.symmetric)

    def with_grid(self, settings: QuantSettings) -> "Choice":
        """This choice with the activation type and symmetry of these settings."""
        return replace(self, qtype=settings.activation, symmetric=settings.symmetric)


def choose_ranges(observations: Observations, model: str, choice: Choice) -> RangeTable:
    """The ranges that the choice's calibrator gives all tensors. model: SHA-256 of the float model that was observed.

    Raises CalibrationError for a calibrator that does not exist and where nothing was observed.
    """
    choose = calibrator(choice.calibrator, percent=choice.percent)
    if not observations.images:
        raise CalibrationError("no image was observed; give at least one with data=…")
    unbounded = {t for t, h in observations.histograms.items() if masks(h)} | observations.infinite
    ranges = {
        t: choose(h, choice.qtype, symmetric=choice.symmetric)
        for t, h in observations.histograms.items()
        if t not in unbounded
    }
    how = choice.qtype, choice.symmetric, choice.calibrator, choice.percent
    return RangeTable(ranges, model, *how, len(observations.images), frozenset(unbounded))


def masks(histogram: Histogram) -> bool:
    """Whether the tensor masks: its values are either huge, all of one sign and size, or so small beside these that an
    8-bit grid over both would make one integer of them.
    """
    largest = max(histogram.maximum, -histogram.minimum)
    if largest < MASK:
        return False
    towards = histogram.centres * (1 if histogram.maximum == largest else -1)
    seen = histogram.counts > 0
    huge, small = towards > largest / 2, np.abs(towards) < max(largest / 256, 2.0**histogram.exponent)
    return bool(seen[small].any() and not seen[~(huge | small)].any())
