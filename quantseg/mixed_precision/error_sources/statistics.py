"""Where the 8 bits of a tensor's grid go: to other tensors on it, to rare values, to wider channels."""

import math
from dataclasses import dataclass

import numpy as np

from quantseg.calibration.histogram import Histogram
from quantseg.calibration.observation import ChannelExtrema
from quantseg.quantization.affine import QuantParams

_RARE = 0.001
"""The share of the values, half of it at each end, that counts as a tail."""


@dataclass(frozen=True)
class LostBits:
    """Bits of a grid that most values of a tensor cannot use; each 0 or more.

    group: log2 of the grid's width over that of the tensor's own values, as other tensors share the grid. tail: log2
    of the width of its values over that without the 0.05 % at each end. channels: log2 of the width of its values over
    that of its median channel.
    """

    group: float
    tail: float
    channels: float


def lost_bits(params: QuantParams, seen: Histogram, extrema: ChannelExtrema) -> LostBits:
    """What a tensor's grid loses, from its values on some images. Widths include zero, as grids do."""
    grid = params.representable
    whole = _width(seen.minimum, seen.maximum)
    counted = np.cumsum(seen.counts)
    low, high = np.searchsorted(counted, [_RARE / 2 * counted[-1], (1 - _RARE / 2) * counted[-1]])
    central = _width(float(seen.edges[low]), float(seen.edges[min(high, len(counted) - 1) + 1]))
    each = np.maximum(extrema.maxima, 0).astype(np.float64) - np.minimum(extrema.minima, 0)
    median = float(np.median(each)) if each.size else whole
    return LostBits(_bits(grid.maximum - grid.minimum, whole), _bits(whole, central), _bits(whole, median))


def clipped_share(params: QuantParams, seen: Histogram) -> float:
    """The share of the tensor's squared rounding error that values outside its grid make; rounding makes the rest.

    Source: Banner et al., arXiv:1810.05723, section 3: noise of clipping beside that of rounding, scale²/12.
    """
    grid, values = params.representable, seen.centres
    beyond = np.square(values - np.clip(values, grid.minimum, grid.maximum))
    clipping = float((beyond * seen.counts).sum())
    rounding = float(params.scale) ** 2 / 12 * float(seen.total)
    return clipping / (clipping + rounding)


def _width(low: float, high: float) -> float:
    return max(high, 0.0) - min(low, 0.0)


def _bits(wide: float, narrow: float) -> float:
    return max(0.0, math.log2(wide / narrow)) if wide > 0 and narrow > 0 else 0.0
