"""Narrower ranges for the tensors whose rounding harms most: each is tried at the output head, alone.

A range that leaves out the rarest values has finer steps for all others. Which of the two errs less is decided where it
counts, at the pixels' classes: by layers a tensor seems to gain from a cut that costs a rare class its pixels. The very
rare values alone are cut off; what a calibrator would clip on principle is not.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import onnx_ir as ir

from quantseg.calibration.calibrators import CALIBRATORS, Calibrator, calibrator
from quantseg.calibration.context import Context
from quantseg.calibration.observation import Observations
from quantseg.mixed_precision.risk.choice import Source
from quantseg.mixed_precision.risk.reference_outputs import ReferenceOutputs
from quantseg.quantization.affine import Range
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised
from quantseg.refinement.groups import SAFE, GroupRanges, group_ranges

CANDIDATES: dict[str, Calibrator] = {
    "percentile 99.99": calibrator("percentile", percent=99.99),
    "percentile 99.999": calibrator("percentile", percent=99.999),
    "mse": CALIBRATORS["mse"],
}
MOST, SHARE = 24, 0.97
"""Most grids that are tried, those that harm most; and the part of all harm after which no more are."""
GAIN = 0.1
"""The part of a grid's risk that a narrower range has to take away: less may be chance."""
EVIDENCE = 4.0
"""The least number of images that must speak of risk: what is rare in them may be the class that they are about."""


def effective_images(risks: Sequence[float]) -> float:
    """How many of the images the risk comes from: all of them where it is spread evenly, 1 where it is one image's.

    Source: the participation ratio, (Σr)² / Σr²; Bell and Dean, Discuss. Faraday Soc. 50, 1970.
    """
    squares = math.fsum(risk * risk for risk in risks)
    return math.fsum(risks) ** 2 / squares if squares else 0.0


def narrowed(
    candidate: Candidate,
    observations: Observations,
    sources: Sequence[Source],
    reference: ReferenceOutputs,
    context: Context,
) -> tuple[Candidate, tuple[Source, ...]]:
    """The candidate with some of its ranges narrower, and the sources with the risk that they have then.

    observations: of its graph. sources: of the candidate, by the same reference outputs. It is
    the same one where no range changes.
    Raises PlanError and CalibrationError as its plan does.
    """
    known = {source.name: source.risk for source in sources}
    table, model = candidate.ranges, candidate.prepared.model

    def harm(grid: GroupRanges) -> float:
        return math.sqrt(math.fsum(known.get(point, 0.0) ** 2 for point in grid.points))

    def rounded(grid: GroupRanges, name: str) -> ir.Model:
        other = _with_ranges(candidate, {**table.ranges, **grid.of_tensors[name]})
        return fake_quantised(model, other.plan, weights=(), tensors=grid.points)

    grids = _worst(list(group_ranges(candidate, observations, CANDIDATES)), harm)
    jobs = [(grid, name) for grid in grids for name in grid.spans if name != SAFE or len(grid.points) > 1]
    tried = [partial(rounded, *job) for job in jobs]
    risks = reference.side_by_side(tried, context, "trying narrower ranges")
    found, left = dict(table.ranges), dict(known)
    measured = {(grid.points, name): value for (grid, name), value in zip(jobs, risks, strict=True)}
    for grid in grids:
        before = measured.get((grid.points, SAFE), harm(grid))
        best = min((name for name in grid.spans if name != SAFE), key=lambda name: measured[grid.points, name])
        after = measured[grid.points, best]
        if after < (1 - GAIN) * before:
            found |= grid.of_tensors[best]
            left |= {point: known[point] * after / before for point in grid.points if point in known}
    count = sum(span != table.ranges[name] for name, span in found.items())
    if not count:
        return candidate, tuple(sources)
    note = f"the ranges of {count} tensors leave out their rarest values, by measurement of the masks"
    narrower = tuple(replace(source, risk=left[source.name]) for source in sources)
    return _with_ranges(candidate, found).noted(note), narrower


def _with_ranges(candidate: Candidate, ranges: Mapping[str, Range]) -> Candidate:
    return replace(candidate, ranges=replace(candidate.ranges, ranges=ranges))


def _worst(grids: Sequence[GroupRanges], harm: Callable[[GroupRanges], float]) -> list[GroupRanges]:
    """Those that make up most of the harm."""
    ordered = sorted(grids, key=lambda grid: (-harm(grid), grid.points))[:MOST]
    total, taken, sofar = math.fsum(harm(grid) ** 2 for grid in grids), [], 0.0
    for grid in ordered:
        if sofar >= SHARE * total:
            break
        taken.append(grid)
        sofar += harm(grid) ** 2
    return taken
