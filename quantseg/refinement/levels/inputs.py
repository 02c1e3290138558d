"""Inputs whose values fill a small part of their grid: the layers that read them stay float, which costs no time.

A grid has to hold zero, since padding is zero. An input that lies far from zero and varies little, as 16-bit microscopy
between 0.48 and 0.52, or that has rare bright points, leaves most of its integers unused.
"""

import math

import numpy as np

from quantseg.calibration.histogram import Histogram
from quantseg.calibration.observation import Observations
from quantseg.quantization.affine import QuantParams
from quantseg.quantization.candidate import Candidate

REASON = "reads an input whose values fill a small part of their grid"
WASTED = 3.0
"""Bits of its grid that such an input cannot use, at least."""
_RARE = 0.002
"""The share of values, half of it at each end, that does not count."""


def keep_narrow_inputs(candidate: Candidate, observations: Observations) -> Candidate:
    """The candidate with the integer readers of such inputs kept in float."""
    plan, found = candidate.plan, list[str]()
    integer = {node.name for node in plan.quantised}
    for value in candidate.prepared.model.graph.inputs:
        params, seen = plan.tensors.get(str(value.name)), observations.histograms.get(str(value.name))
        if params is not None and seen is not None and wasted_bits(params, seen) >= WASTED:
            found += [str(user.name) for user, _ in value.uses() if user.name in integer]
    return candidate.left_float(found, REASON) if found else candidate


def wasted_bits(params: QuantParams, seen: Histogram) -> float:
    """log2 of the grid's width over that of all values but the rarest; infinite where these are equal."""
    counted = np.cumsum(seen.counts)
    low, high = np.searchsorted(counted, [_RARE / 2 * counted[-1], (1 - _RARE / 2) * counted[-1]])
    grid = params.representable
    width = float(seen.edges[min(high, len(counted) - 1) + 1] - seen.edges[low])
    return math.log2((grid.maximum - grid.minimum) / width) if width > 0 else math.inf
