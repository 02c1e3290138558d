"""The tensors with the lowest quantisation SQNR, estimated from their histograms.

Values inside the clip range have a mean square error of Δ²/12, Δ the scale; a value x outside has a squared error of
(x − clip)². With the counts n of the histogram, SQNR ≈ 10·log10(Σ n·x² / Σ n·error²).
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
    """The histogram of one tensor and its quantisation parameters.

    clip: the range of real numbers that the integers cover. step: the scale. sqnr_db: estimated, in dB. clipped: share
    of values outside the clip range. used: share of the clip range between the smallest and the largest value.
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
    """Edges and counts of at most `bins` bins, each merged from adjacent ones; the last may be narrower."""
    group = -(-len(histogram.counts) // bins)
    starts = np.arange(0, len(histogram.counts), group)
    edges = histogram.edges
    return np.append(edges[starts], edges[-1]), np.add.reduceat(histogram.counts, starts)


def tensor_range(name: str, histogram: Histogram, params: QuantParams) -> TensorRange:
    """Estimates the loss of a tensor that is quantised per tensor. The histogram must not be empty."""
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
    """The `count` tensors with the lowest estimated SQNR, the worst first, of those quantised per tensor.

    Tensors without histogram or parameters are left out, and those that are always 0: they lose nothing.
    """
    ranges = [
        tensor_range(name, histogram, params[name])
        for name, histogram in histograms.items()
        if name in params and params[name].axis is None and histogram.minimum < histogram.maximum
    ]
    return tuple(sorted(ranges, key=lambda tensor: (tensor.sqnr_db, tensor.name))[:count])
