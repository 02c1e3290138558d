"""MSE calibration: the clip that minimises the mean squared error, rounding and saturation together.

With scale S, the squared error of a value inside [a, b] is S²/12 on average, and outside the squared distance to
[a, b]. Both are sums of powers over a prefix or suffix of the histogram, so every pair of candidate clips costs O(1).
Source: Banner et al., "Post-training 4-bit quantization", arXiv:1810.05723 (for a given density);
here for any histogram.
"""

import numpy as np

from quantseg.calibration.histogram import Histogram
from quantseg.quantization.affine import F64, Range, integer_limits
from quantseg.quantization.qtypes import QType

_CANDIDATES = 512
"""Clips tried at each end; they are 1/512 of the range apart, less than one 8-bit step."""


def choose_range(histogram: Histogram, qtype: QType, *, symmetric: bool) -> Range:
    """The range, containing zero, with the least expected squared error."""
    qmin, qmax = integer_limits(qtype, symmetric=symmetric, reduced=False)
    if symmetric:
        magnitudes = histogram.magnitudes()
        tops = _clips(magnitudes.maximum)
        error = _rounding(2 * tops / (qmax - qmin), histogram) + _saturation(magnitudes, tops)
        top = float(tops[np.argmin(error)])
        return histogram.clipped(-top, top)
    span = Range(histogram.minimum, histogram.maximum).with_zero()
    highs, depths = _clips(span.maximum), _clips(-span.minimum)
    steps = (highs[None, :] + depths[:, None]) / (qmax - qmin)
    error = _rounding(steps, histogram) + _saturation(histogram, highs)[None, :]
    error += _saturation(_mirrored(histogram), depths)[:, None]
    row, column = np.unravel_index(np.argmin(error), error.shape)
    return Range(0.0 - float(depths[row]), float(highs[column]))


def _clips(top: float) -> F64:
    """Candidate clips in (0, top], or only 0 where there are no values on that side."""
    return np.linspace(top / _CANDIDATES, top, _CANDIDATES) if top > 0 else np.zeros(1)


def _rounding(steps: F64, histogram: Histogram) -> F64:
    """Squared rounding error summed over all values, for each scale; zero is exact on every grid."""
    holds_zero = histogram.first_bin <= 0 < histogram.first_bin + histogram.counts.size
    at_zero = histogram.counts[-histogram.first_bin] if holds_zero else 0
    return steps**2 / 12 * float(histogram.total - at_zero)


def _saturation(histogram: Histogram, tops: F64) -> F64:
    """Σ (x − top)² over the values above each top, from suffix sums of count, count·x and count·x²."""
    x, n = histogram.centres, histogram.counts.astype(np.float64)
    sums = [np.append(np.cumsum((n * x**p)[::-1])[::-1], 0.0) for p in range(3)]
    first = np.searchsorted(x, tops, side="right")
    errors: F64 = sums[2][first] - 2 * tops * sums[1][first] + tops**2 * sums[0][first]
    return errors.clip(min=0.0)


def _mirrored(histogram: Histogram) -> Histogram:
    """The histogram of −x. Bins are then closed at their other end, which changes no moment."""
    last = histogram.first_bin + histogram.counts.size - 1
    return Histogram(histogram.exponent, -1 - last, histogram.counts[::-1], -histogram.maximum, -histogram.minimum)
