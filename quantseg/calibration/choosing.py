"""From observations to ranges: one calibrator over every observed tensor."""

from dataclasses import dataclass, replace

from quantseg.calibration.calibrators import calibrator
from quantseg.calibration.observation import Observations
from quantseg.errors import CalibrationError
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import UINT8, QType
from quantseg.quantization.ranges import RangeTable

DEFAULT_CALIBRATOR = "minmax"
"""In segmentation, rare values often belong to a rare class, so clipped outliers may be the pixels that matter. On the
real models measured, every calibrator that clips is much worse on some of the images."""


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
    ranges = {t: choose(h, choice.qtype, symmetric=choice.symmetric) for t, h in observations.histograms.items()}
    how = choice.qtype, choice.symmetric, choice.calibrator, choice.percent
    return RangeTable(ranges, model, *how, images=len(observations.images))
