"""How a tensor's range is chosen from its histogram: one calibrator per file, all in one table."""

from functools import partial
from typing import Protocol

from quantseg.calibration.calibrators import entropy, minmax, mse, percentile
from quantseg.calibration.histogram import Histogram
from quantseg.errors import CalibrationError
from quantseg.quantization.affine import Range
from quantseg.quantization.qtypes import QType


class Calibrator(Protocol):
    """Chooses the range that the integers of `qtype` cover; values outside it saturate.

    The result lies within the histogram's extrema, extended to zero. symmetric: the range will be widened to [−a, a],
    so that only a, the larger magnitude of its ends, matters.
    """

    def __call__(self, histogram: Histogram, qtype: QType, *, symmetric: bool) -> Range:
        """The chosen range."""


CALIBRATORS: dict[str, Calibrator] = {
    "minmax": minmax.choose_range,
    "percentile": percentile.choose_range,
    "entropy": entropy.choose_range,
    "mse": mse.choose_range,
}


def calibrator(name: str, *, percent: float | None = None) -> Calibrator:
    """The calibrator of that name; `percent` goes to the percentile calibrator (default 99.99).

    Raises CalibrationError for a name that is not in the table, or a percent outside (50, 100].
    """
    if name not in CALIBRATORS:
        raise CalibrationError(f"{name!r} is no calibrator; choose one of {', '.join(CALIBRATORS)}")
    if percent is None:
        return CALIBRATORS[name]
    if name != "percentile":
        raise CalibrationError(f"a percentile was given to the {name} calibrator; use calibrator=percentile")
    if not 50 < percent <= 100:
        raise CalibrationError(f"percentile {percent} is outside (50, 100]; 99.9 to 99.999 is usual")
    return partial(percentile.choose_range, percent=percent)
