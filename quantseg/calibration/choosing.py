"""From observations to ranges: one calibrator over every observed tensor."""

from dataclasses import dataclass, replace

from quantseg.calibration.calibrators import calibrator
from quantseg.calibration.observation import Observations
from quantseg.errors import CalibrationError
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import UINT8, QType
from quantseg.quantization.ranges import RangeTable

DEFAULT_CALIBRATOR = "minmax"
"""In segmentation rare values are often the rare class: what a clip calls outliers may be the pixels that matter.
On the real models that were measured, each clipping calibrator falls far behind on some of the images."""


@dataclass(frozen=True)
class Choice:
    """How ranges are chosen, and for what integers. percent: of the calibrator percentile; None is its own."""

    calibrator: str = DEFAULT_CALIBRATOR
    percent: float | None = None
    qtype: QType = UINT8
    symmetric: bool = False

    @staticmethod
    def like(table: RangeTable, settings: QuantSettings) -> "Choice":
        """As the table's ranges were chosen, for the activations of these settings."""
        return Choice(table.calibrator, table.percent, settings.activation, settings.symmetric)

    def with_grid(self, settings: QuantSettings) -> "Choice":
        """For the activations of these settings."""
        return replace(self, qtype=settings.activation, symmetric=settings.symmetric)


def choose_ranges(observations: Observations, model: str, choice: Choice) -> RangeTable:
    """The ranges that a calibrator chooses. model: SHA-256 of the float model that was observed.

    Raises CalibrationError for a calibrator that does not exist and where nothing was observed.
    """
    choose = calibrator(choice.calibrator, percent=choice.percent)
    if not observations.images:
        raise CalibrationError("no image was observed; give at least one with data=…")
    ranges = {t: choose(h, choice.qtype, symmetric=choice.symmetric) for t, h in observations.histograms.items()}
    how = choice.qtype, choice.symmetric, choice.calibrator, choice.percent
    return RangeTable(ranges, model, *how, images=len(observations.images))
