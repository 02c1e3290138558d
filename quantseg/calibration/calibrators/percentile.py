"""Percentile calibration: a fixed share of the values may saturate, so that rare outliers do not set the scale.

Source: McKinstry et al., arXiv:1809.04191, section 3.1; Wu et al., arXiv:2004.09602, section 3.3.
"""

import numpy as np

from quantseg.calibration.histogram import Histogram
from quantseg.quantization.affine import Range
from quantseg.quantization.qtypes import QType


def choose_range(histogram: Histogram, qtype: QType, *, symmetric: bool, percent: float = 99.99) -> Range:
    """The range, in whole bins, that keeps `percent` of the values.

    symmetric: keeps that share of the magnitudes |x|; otherwise half of the rest is cut at each end.
    """
    if symmetric:
        top = _upper_edge(histogram.magnitudes(), percent / 100)
        return histogram.clipped(-top, top)
    tail = (1 - percent / 100) / 2
    cumulated = np.cumsum(histogram.counts)
    left = int(np.searchsorted(cumulated, tail * cumulated[-1], side="right"))
    low, high = float(histogram.edges[left]), _upper_edge(histogram, 1 - tail)
    return histogram.clipped(low, high)


def _upper_edge(histogram: Histogram, share: float) -> float:
    """The right edge of the first bin up to which at least `share` of the values lie."""
    cumulated = np.cumsum(histogram.counts)
    index = int(np.searchsorted(cumulated, share * cumulated[-1], side="left"))
    return float(histogram.edges[index + 1])
