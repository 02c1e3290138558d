"""Range search: narrower ranges for the quantization groups with the largest risk, each tried alone at the outputs.

A narrower range clips the rarest values but has finer steps for all others. Which error is smaller is measured as
margin-weighted output error: measured at the tensor itself, a clip can seem a gain though it costs a rare class its
pixels. Only percentiles that clip very rare values, and the MSE calibrator, are tried.
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
"""The quantization groups that are tried: at most MOST, by falling risk, until they hold SHARE of all squared risk."""
GAIN = 0.1
"""The share of a group's risk that a narrower range has to remove: less may be chance."""
EVIDENCE = 4.0
"""The least effective number of images for a range search: with fewer, rare values may be those of a whole class."""


def effective_images(risks: Sequence[float]) -> float:
    """The effective number of images that risk comes from: all if it is spread evenly, 1 if it is all from one image.

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
    *,
    most: int = MOST,
) -> tuple[Candidate, tuple[Source, ...]]:
    """The candidate with narrower ranges where these err less, and the sources with their new risks.

    observations: of the candidate's graph. sources: the risks of its rounded tensors, by the same reference outputs.
    most: quantization groups that are tried.
    Returns the same candidate where no range changes. Raises the PlanError and CalibrationError of its plan.
    """
    known = {source.name: source.risk for source in sources}
    table, model = candidate.ranges, candidate.prepared.model

    def risk_of(grid: GroupRanges) -> float:
        return math.sqrt(math.fsum(known.get(point, 0.0) ** 2 for point in grid.points))

    def rounded(grid: GroupRanges, name: str) -> ir.Model:
        other = _with_ranges(candidate, {**table.ranges, **grid.of_tensors[name]})
        return fake_quantised(model, other.plan, weights=(), tensors=grid.points)

    grids = _worst(list(group_ranges(candidate, observations, CANDIDATES)), risk_of, most)
    jobs = [(grid, name) for grid in grids for name in grid.spans if name != SAFE or len(grid.points) > 1]
    tried = [partial(rounded, *job) for job in jobs]
    risks = reference.side_by_side(tried, context, "narrower ranges")
    found, left = dict(table.ranges), dict(known)
    measured = {(grid.points, name): value for (grid, name), value in zip(jobs, risks, strict=True)}
    for grid in grids:
        before = measured.get((grid.points, SAFE), risk_of(grid))
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


def _worst(grids: Sequence[GroupRanges], risk_of: Callable[[GroupRanges], float], most: int) -> list[GroupRanges]:
    """The groups to try: at most so many, those with the largest risk; see SHARE. risk_of: the risk of a group."""
    ordered = sorted(grids, key=lambda grid: (-risk_of(grid), grid.points))[:most]
    total, taken, sofar = math.fsum(risk_of(grid) ** 2 for grid in grids), [], 0.0
    for grid in ordered:
        if sofar >= SHARE * total:
            break
        taken.append(grid)
        sofar += risk_of(grid) ** 2
    return taken
