"""Min/max calibration: nothing saturates on the calibration data, but a single outlier sets the scale."""

from quantseg.calibration.histogram import Histogram
from quantseg.quantization.affine import Range
from quantseg.quantization.qtypes import QType


def choose_range(histogram: Histogram, qtype: QType, *, symmetric: bool) -> Range:
    """The exact extrema. Source: Jacob et al., arXiv:1712.05877, section 3."""
    return Range(histogram.minimum, histogram.maximum)
