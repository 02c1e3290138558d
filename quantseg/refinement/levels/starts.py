"""What refinement starts from: channels as they are or scaled alike, ranges as calibrated or narrower."""

import logging
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
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised, rounded_tensors
from quantseg.refinement.equalisation import deviation, equalise
from quantseg.refinement.equalisation.absorption import absorb
from quantseg.refinement.range_search import EVIDENCE, effective_images, narrowed

log = logging.getLogger(__name__)

EQUAL = 1e-4
"""Most that equalisation may change an output in float, over the output's largest value."""
_LOOKED_AT = 3
"""Images on which each tensor is rounded alone: those that rounding harms most."""


@dataclass(frozen=True)
class Work:
    """What refinement works with. judged: the context with as many images as are judged.

    reference: the float model's outputs for these.
    """

    context: Context
    judged: Context
    reference: ReferenceOutputs

    def risks(self, candidate: Candidate, *, weights: Sequence[str] | None = None) -> tuple[float, ...]:
        """Of the rounded model, for each image. weights: see `fake_quantised`."""
        return self.reference.risks(fake_quantised(candidate.prepared.model, candidate.plan, weights=weights))


@dataclass(frozen=True)
class Start:
    """A candidate with what was observed of it, the risk of rounding its tensors on each image, and where that comes
    from.

    sources: measured on the images that rounding harms most; none yet where they are not asked for.
    """

    candidate: Candidate
    observations: Observations
    risks: tuple[float, ...]
    sources: tuple[Source, ...] = ()

    @property
    def risk(self) -> float:
        """The mean over the images."""
        return fmean(self.risks)


def starts_of(
    candidate: Candidate, observations: Observations, work: Work, *, absorbing: bool = False
) -> tuple[Start, ...]:
    """With channels as they are and, where they can be, scaled alike; that which errs less comes first.

    absorbing: also with constants of channels moved on to the layers behind, from either of these. Raises PlanError
    where weights are rounded already: a factor would take them off their grids.
    """
    if candidate.overrides.weights:
        name = min(candidate.overrides.weights)
        raise PlanError(f"{name}: its weight is rounded already; equalise before weights are rounded")
    plain = start_of(candidate, observations, work)
    found = [plain, *_some(_equalised(plain, work))]
    if absorbing:
        found += [one for start in tuple(found) for one in _some(_absorbed(start, work))]
    return tuple(sorted(found, key=lambda start: start.risk))


def looked_at(start: Start, work: Work) -> tuple[Start, ...]:
    """The start with its sources, and with narrower ranges where enough images speak for them and they err less."""
    worst = sorted(sorted(range(len(start.risks)), key=lambda index: -start.risks[index])[:_LOOKED_AT])
    reference, candidate = work.reference.chosen(worst), start.candidate
    found = sources(candidate, reference, work.context)
    known = replace(start, sources=found)
    if effective_images(start.risks) < EVIDENCE:
        return (known,)
    narrower, left = narrowed(candidate, start.observations, found, reference, work.context)
    if narrower is candidate:
        return (known,)
    other = start_of(narrower, start.observations, work)
    return tuple(sorted((known, replace(other, sources=left)), key=lambda one: one.risk))


def start_of(candidate: Candidate, observations: Observations, work: Work) -> Start:
    """With the risk of its tensors' rounding; its weights are yet to be rounded together."""
    return Start(candidate, observations, work.risks(candidate, weights=()))


def _some(start: Start | None) -> tuple[Start, ...]:
    return () if start is None else (start,)


def _equalised(start: Start, work: Work) -> Start | None:
    """With channels scaled alike; None where none is free to be."""
    prepared = start.candidate.prepared
    done = equalise(prepared, start.observations.channels, rounded_tensors(prepared.model, start.candidate.plan))
    if done is None:
        return None
    what = f"{done.classes} classes of channels scaled by {done.least:.2g} to {done.most:.2g}"
    return _rewritten(start, done.prepared, what, work)


def _absorbed(start: Start, work: Work) -> Start | None:
    """With constants moved on to where no grid must hold them; None where there are none."""
    done = absorb(start.candidate.prepared, start.observations.channels)
    if done is None:
        return None
    what = f"constants of {done.channels} channels moved on to the layers behind"
    return _rewritten(start, done.prepared, what, work)


def _rewritten(start: Start, prepared: Prepared, what: str, work: Work) -> Start | None:
    """Another spelling of the same network, observed anew; None where it is not the same on the images."""
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
