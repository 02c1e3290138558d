"""Entropy calibration: the clip that minimises KL(real ‖ quantised).

For each candidate clip, P is the histogram with the outliers moved into the last kept bins, and Q is the kept part of
the histogram after quantization: each integer level's count, spread evenly over its occupied bins. The clip with the
least divergence is chosen.
Source: Migacz, "8-bit inference with TensorRT", GTC 2017. Here the two ends of an asymmetric range are searched in
turn, coarse to fine, on up to 4096 bins. In contrast to MSE (mse.py), large errors of rare values count little.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from quantseg.calibration.histogram import Histogram
from quantseg.quantization.affine import F64, Range, integer_limits
from quantseg.quantization.qtypes import QType

_CANDIDATES = 32
"""Clips tried in each pass; the next pass refines between the neighbours of the best one, down to single bins."""

_SMOOTHING = 1e-6
"""Probability given to bins that hold values in P but none in Q, so that the divergence stays finite."""

_MAY_SATURATE = 0.05
"""Largest share of the values that may saturate at either end. Without this limit, a clip that moves all of a narrow
peak far from zero into the last bin would have no divergence."""


def choose_range(histogram: Histogram, qtype: QType, *, symmetric: bool) -> Range:
    """The range of least divergence, within the extrema; the extrema where there are fewer bins than integer levels."""
    qmin, qmax = integer_limits(qtype, symmetric=symmetric, reduced=False)
    levels = (qmax - qmin + 1) // 2 if symmetric else qmax - qmin + 1
    reaching, zero = (histogram.magnitudes() if symmetric else histogram).reaching_zero()
    counts = _without_spike(reaching.counts, zero)
    low, high = 0, counts.size
    if counts.size > levels:
        below = np.cumsum(reaching.counts)
        deepest = int(np.searchsorted(below, _MAY_SATURATE * below[-1], side="right"))
        lowest_top = int(np.searchsorted(below, (1 - _MAY_SATURATE) * below[-1])) + 1
        for _ in range(2):
            floor = max(zero + 1, low + levels, lowest_top)
            high = _search(min(floor, counts.size), counts.size, partial(_divergence, counts, levels, low))
            ceiling = min(zero, high - levels, deepest)
            low = _search(ceiling, 0, partial(_divergence, counts, levels, high=high))
    width = 2.0**reaching.exponent
    depth, top = (low - zero) * width, (high - zero) * width
    if symmetric:
        depth = -top
    return histogram.clipped(depth, top)


def _without_spike(counts: NDArray[np.int64], zero: int) -> F64:
    """The counts, with the count of zero's bin replaced by its neighbour's.

    Zero is exact on every grid, so the spike that ReLU and padding leave there must not influence the clip.
    """
    smooth = counts.astype(np.float64)
    if zero < counts.size:
        smooth[zero] = smooth[zero + 1] if zero + 1 < counts.size else 0.0
    return smooth


def _search(first: int, last: int, cost: Callable[[int], float]) -> int:
    """The integer of least cost from first up or down to last, searched coarse to fine; at ties the nearest to last."""
    while True:
        candidates = np.unique(np.linspace(first, last, _CANDIDATES).round().astype(int))
        if first > last:
            candidates = candidates[::-1]
        costs = [cost(int(c)) for c in candidates]
        best = len(costs) - 1 - int(np.argmin(costs[::-1]))
        if candidates.size == abs(last - first) + 1:
            return int(candidates[best])
        first, last = int(candidates[max(best - 1, 0)]), int(candidates[min(best + 1, candidates.size - 1)])


def _divergence(counts: F64, levels: int, low: int, high: int) -> float:
    """KL(P ‖ Q) in nats when bins low … high−1 are kept and quantised to `levels` integers."""
    kept = counts[low:high]
    p = kept.copy()
    p[0] += counts[:low].sum()
    p[-1] += counts[high:].sum()
    starts = np.arange(levels) * kept.size // levels
    occupied = np.add.reduceat((kept > 0).astype(np.float64), starts)
    mean = np.add.reduceat(kept, starts) / np.maximum(occupied, 1)
    q = np.where(kept > 0, np.repeat(mean, np.diff(np.append(starts, kept.size))), 0.0)
    if not q.any():
        return np.inf
    p, q = p / p.sum(), np.maximum(q / q.sum(), _SMOOTHING)
    inside = p > 0
    return float(np.sum(p[inside] * np.log(p[inside] / q[inside])))
