"""Ranges under suspicion: which tensors lose most in their integer grid, estimated from their histograms.

Every value inside the clip is off by Δ²/12 in the mean square, Δ the step of the grid; a value x outside is
off by (x − clip)². With the counts n of the histogram, SQNR ≈ 10·log10(Σ n·x² / Σ n·error²).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.calibration.histogram import Histogram
from quantseg.quantization.affine import F64, QuantParams, Range

DRAWN_BINS = 160
"""Bins of the histograms that a report shows and keeps."""


@dataclass(frozen=True)
class TensorRange:
    """One tensor's values beside the grid that stores them.

    clip: the real interval of the grid. step: its scale. sqnr_db: estimated, in dB. clipped: share of the
    values outside. used: share of the clip that lies between the extrema of the values.
    """

    name: str
    qtype: str
    histogram: Histogram
    clip: Range
    step: float
    sqnr_db: float
    clipped: float
    used: float


def coarser(histogram: Histogram, bins: int) -> tuple[F64, NDArray[np.int64]]:
    """Edges and counts of at most `bins` bins, each the sum of neighbours; the last may be narrower."""
    group = -(-len(histogram.counts) // bins)
    starts = np.arange(0, len(histogram.counts), group)
    edges = histogram.edges
    return np.append(edges[starts], edges[-1]), np.add.reduceat(histogram.counts, starts)


def tensor_range(name: str, histogram: Histogram, params: QuantParams) -> TensorRange:
    """Estimates the loss of one tensor with one scale. The histogram holds at least one value."""
    clip, step = params.representable, float(params.scale)
    x, share = histogram.centres, histogram.counts / histogram.total
    beyond = np.maximum(np.maximum(clip.minimum - x, x - clip.maximum), 0.0)
    noise = float(share @ np.where(beyond > 0, np.square(beyond), step**2 / 12))
    signal = float(share @ np.square(x))
    covered = min(histogram.maximum, clip.maximum) - max(histogram.minimum, clip.minimum)
    return TensorRange(
        name=name,
        qtype=params.qtype.name,
        histogram=histogram,
        clip=clip,
        step=step,
        sqnr_db=10 * math.log10(signal / noise) if signal > 0 else 0.0,
        clipped=float(share[beyond > 0].sum()),
        used=max(0.0, covered) / clip.width,
    )


def worst_ranges(
    histograms: Mapping[str, Histogram], params: Mapping[str, QuantParams], count: int
) -> tuple[TensorRange, ...]:
    """The `count` tensors of lowest estimated SQNR, the worst first, of those that have both and one scale.

    Tensors that were always 0 lose nothing and are left out.
    """
    ranges = [
        tensor_range(name, histogram, params[name])
        for name, histogram in histograms.items()
        if name in params and params[name].axis is None and histogram.minimum < histogram.maximum
    ]
    return tuple(sorted(ranges, key=lambda tensor: (tensor.sqnr_db, tensor.name))[:count])
