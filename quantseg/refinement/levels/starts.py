"""Starts of refinement: channels as they are or equalised, biases absorbed or not, ranges as calibrated or narrower."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from quantseg.calibration.calibrate import calibrate
from quantseg.calibration.choosing import Choice
from quantseg.calibration.context import Context
from quantseg.calibration.observation import Observations
from quantseg.errors import PlanError
from quantseg.graph.preparation import Prepared
from quantseg.mixed_precision.risk import ReferenceOutputs, Source, sources
from quantseg.progress import under_way
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised, rounded_tensors
from quantseg.refinement.equalisation import deviation, equalise
from quantseg.refinement.equalisation.absorption import absorb
from quantseg.refinement.levels.breadth import BALANCED, BREADTHS, Breadth
from quantseg.refinement.levels.passes import EQUALISE
from quantseg.refinement.range_search import EVIDENCE, effective_images, narrowed

log = logging.getLogger(__name__)

EQUAL = 1e-4
"""Most that a rewrite (equalisation, absorption) may change a float output, relative to the output's largest value."""


@dataclass(frozen=True)
class Work:
    """What all refinement steps share.

    judged: the context with the images alone on which candidates are compared. reference: the reference outputs for
    these images. breadth: how widely is searched.
    """

    context: Context
    judged: Context
    reference: ReferenceOutputs
    breadth: Breadth = BREADTHS[BALANCED]

    def risks(self, candidate: Candidate, *, weights: Sequence[str] | None = None) -> tuple[float, ...]:
        """The risk of the fake-quantised candidate for each image. weights: see `fake_quantised`."""
        rounded = fake_quantised(candidate.prepared.model, candidate.plan, weights=weights)
        return self.reference.risks(rounded, self.context.track)


@dataclass(frozen=True)
class Start:
    """A candidate from which refinement goes on.

    observations: of its graph. risks: of rounding its activations, for each image. sources: the risk of each tensor, on
    the images with the largest risk; empty until measured.
    """

    candidate: Candidate
    observations: Observations
    risks: tuple[float, ...]
    sources: tuple[Source, ...] = ()

    @property
    def risk(self) -> float:
        """The mean risk over the images."""
        return fmean(self.risks)


def starts_of(
    candidate: Candidate, observations: Observations, work: Work, *, absorbing: bool = False
) -> tuple[Start, ...]:
    """The candidate as it is and, where possible, with equalised channels; ordered by risk, the least first.

    absorbing: also each of these with bias absorption (see equalisation/absorption.py). Raises PlanError where weights
    are rounded already: scaling would take them off their grids.
    """
    if candidate.overrides.weights:
        name = min(candidate.overrides.weights)
        raise PlanError(f"{name}: its weight is rounded already; equalise before weights are rounded")
    plain = start_of(candidate, observations, work)
    found = [plain, *_some(_equalised(plain, work) if work.breadth.equalising else None)]
    if absorbing:
        found += [one for start in tuple(found) for one in _some(_absorbed(start, work))]
    return tuple(sorted(found, key=lambda start: start.risk))


def looked_at(start: Start, work: Work) -> tuple[Start, ...]:
    """The start with its sources measured, and also with narrower ranges; ordered by risk, the least first.

    Narrower ranges are tried only with an effective number of images of at least EVIDENCE.
    """
    breadth, candidate = work.breadth, start.candidate
    worst = sorted(sorted(range(len(start.risks)), key=lambda index: -start.risks[index])[: breadth.looked_at])
    reference = work.reference.chosen(worst)
    found = sources(candidate, reference, work.context, _noisiest(start, breadth.tensors))
    known = replace(start, sources=found)
    if effective_images(start.risks) < EVIDENCE or not breadth.groups:
        return (known,)
    narrower, left = narrowed(candidate, start.observations, found, reference, work.context, most=breadth.groups)
    if narrower is candidate:
        return (known,)
    other = start_of(narrower, start.observations, work)
    return tuple(sorted((known, replace(other, sources=left)), key=lambda one: one.risk))


def start_of(candidate: Candidate, observations: Observations, work: Work) -> Start:
    """The start of a candidate, with the risk of rounding its activations; weights are not rounded for it."""
    return Start(candidate, observations, work.risks(candidate, weights=()))


def _noisiest(start: Start, share: float) -> tuple[str, ...]:
    """That share of the tensors that the plan rounds, those with the most rounding noise, in the graph's order.

    Noise: (scale²/12) / E[x²], with E[x²] from the histogram; a tensor that was not observed counts as noisy.
    """
    candidate, seen = start.candidate, start.observations.histograms
    tensors = rounded_tensors(candidate.prepared.model, candidate.plan)

    def noise(name: str) -> float:
        if name not in seen:
            return math.inf
        histogram, scale = seen[name], float(candidate.plan.tensors[name].scale)
        power = float((histogram.centres**2 * histogram.counts).sum()) / max(histogram.total, 1)
        return scale**2 / power if power else math.inf

    worst = frozenset(sorted(tensors, key=lambda name: (-noise(name), name))[: math.ceil(share * len(tensors))])
    return tuple(name for name in tensors if name in worst)


def _some(start: Start | None) -> tuple[Start, ...]:
    return () if start is None else (start,)


def _equalised(start: Start, work: Work) -> Start | None:
    """The start with equalised channels; None where no channel can be scaled."""
    prepared = start.candidate.prepared
    rounded = rounded_tensors(prepared.model, start.candidate.plan)
    with under_way(work.context.track, EQUALISE):
        done = equalise(prepared, start.observations.channels, rounded)
    if done is None:
        return None
    what = f"{done.classes} classes of channels scaled by {done.least:.2g} to {done.most:.2g}"
    return _rewritten(start, done.prepared, what, work)


def _absorbed(start: Start, work: Work) -> Start | None:
    """The start with biases absorbed into the next layers; None where none can be."""
    done = absorb(start.candidate.prepared, start.observations.channels)
    if done is None:
        return None
    what = f"constants of {done.channels} channels moved on to the layers behind"
    return _rewritten(start, done.prepared, what, work)


def _rewritten(start: Start, prepared: Prepared, what: str, work: Work) -> Start | None:
    """The start with an equivalent graph, calibrated anew; None where its float outputs differ by more than EQUAL.

    what: describes the rewrite in the note.
    """
    candidate, context, reference = start.candidate, work.context, work.reference
    graphs = candidate.prepared.model, prepared.model
    changed = deviation(graphs, reference.feeds, reference.outputs, runtime=context.runtime, threads=context.threads)
    if changed > EQUAL:
        log.warning("not taken: %s, since the float output changes by %.1g of its largest", what, changed)
        return None
    rewritten = candidate.with_prepared(prepared)
    done = calibrate(rewritten.model, Choice.like(candidate.ranges, candidate.settings), context)
    note = f"{what}; in float the output is equal to {changed:.0e} of its largest value"
    return start_of(replace(rewritten, ranges=done.table).noted(note), done.observations, work)
