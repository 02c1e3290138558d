"""Possible ranges of a quantization group: the calibrated one, and narrower ones that other calibrators choose."""

import functools
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from quantseg.calibration.calibrators import Calibrator
from quantseg.calibration.observation import Observations
from quantseg.quantization.affine import Range
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import rounded_tensors
from quantseg.quantization.plan.decisions import decide
from quantseg.quantization.plan.grids import form_grids

SAFE = "as calibrated"
"""The name of a group's range as calibrated."""


@dataclass(frozen=True)
class GroupRanges:
    """The possible ranges of one quantization group (tensors that share one grid).

    points: the group's tensors that are rounded. spans: name → range of the group, SAFE first. of_tensors: by the same
    names, tensor → range of the observed tensors, from which the group's range follows.
    """

    points: tuple[str, ...]
    spans: Mapping[str, Range]
    of_tensors: Mapping[str, Mapping[str, Range]]


def group_ranges(
    candidate: Candidate, observations: Observations, calibrators: Mapping[str, Calibrator]
) -> Iterator[GroupRanges]:
    """Every quantization group for which a calibrator chooses another range than it has, in the graph's order.

    A calibrator chooses a range for each tensor, cut to the tensor's present range; the group's range is their union.
    Raises the PlanError and CalibrationError of `plan`.
    """
    prepared, settings, ranges = candidate.prepared, candidate.settings, candidate.ranges.ranges
    grids = form_grids(prepared.model.graph, decide(prepared, settings, candidate.overrides), ranges)
    rounded = rounded_tensors(prepared.model, candidate.plan)
    groups: dict[str, list[str]] = {}
    for tensor in grids.parent:
        groups.setdefault(grids.root(tensor), []).append(tensor)
    for root, members in groups.items():
        observed = [tensor for tensor in members if tensor in ranges and tensor in observations.histograms]
        whole = grids.range_of(root)
        spans, of_tensors = {SAFE: whole}, {SAFE: {tensor: ranges[tensor] for tensor in observed}}
        for name, choose in calibrators.items():
            each = {
                tensor: _within(
                    choose(observations.histograms[tensor], settings.activation, symmetric=settings.symmetric),
                    ranges[tensor],
                )
                for tensor in observed
            }
            span = functools.reduce(operator.or_, (span.with_zero() for span in each.values()), Range(0.0, 0.0))
            if span.width > 0 and span not in spans.values():
                spans[name], of_tensors[name] = span, each
        points = tuple(tensor for tensor in rounded if tensor in members)
        if len(spans) > 1 and points:
            yield GroupRanges(points, spans, of_tensors)


def _within(span: Range, known: Range) -> Range:
    """The intersection of two ranges; `known` itself where it is empty."""
    low, high = max(span.minimum, known.minimum), min(span.maximum, known.maximum)
    return Range(low, high) if low <= high else known
