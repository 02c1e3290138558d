"""What refinement starts from: channels as they are or scaled alike, ranges as calibrated or narrower."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from quantseg import pipeline
from quantseg.calibration.file import Calibration, CalibrationTable
from quantseg.calibration.observation import Observations
from quantseg.data import Dataset
from quantseg.graph.preparation import Prepared
from quantseg.mixed_precision.risk import Jury, Source, sources
from quantseg.pipeline import CalibrationOptions, FloatModel
from quantseg.progress import Track
from quantseg.quantization.fake_quant import fake_quantised, rounded_tensors
from quantseg.quantization.plan import QuantPlan, plan
from quantseg.refinement.equalisation import deviation, equalise
from quantseg.refinement.equalisation.absorption import absorb
from quantseg.refinement.range_search import EVIDENCE, narrowed, speaking

log = logging.getLogger(__name__)

EQUAL = 1e-4
"""Most that equalisation may change an output in float, over the output's largest value."""
_LOOKED_AT = 3
"""Images on which each tensor is rounded alone: those that rounding harms most."""


@dataclass(frozen=True)
class Refined:
    """A model as it will be quantised, the ranges to do it with, and what was done, one line each."""

    model: FloatModel
    table: CalibrationTable
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Work:
    """What refinement works with. data: the calibration images. jury: of as many as are judged."""

    data: Dataset
    options: CalibrationOptions
    jury: Jury
    track: Track

    def decided(self, refined: Refined) -> QuantPlan:
        """The plan. Raises PlanError, CalibrationError."""
        return plan(refined.model.prepared, refined.table.ranges, self.options.settings)

    def risks(self, refined: Refined, *, weights: Sequence[str] | None = None) -> tuple[float, ...]:
        """Of the rounded model, for each image. weights: see `fake_quantised`."""
        return self.jury.risks(fake_quantised(refined.model.prepared.model, self.decided(refined), weights=weights))


@dataclass(frozen=True)
class Start:
    """A model with what was observed of it, the risk of rounding its tensors on each image, and where that comes from.

    sources: measured on the images that rounding harms most; none yet where they are not asked for.
    """

    refined: Refined
    observations: Observations
    risks: tuple[float, ...]
    sources: tuple[Source, ...] = ()

    @property
    def risk(self) -> float:
        """The mean over the images."""
        return fmean(self.risks)


def starts_of(model: FloatModel, calibration: Calibration, work: Work, *, absorbing: bool = False) -> tuple[Start, ...]:
    """With channels as they are and, where they can be, scaled alike; that which errs less comes first.

    absorbing: also with constants of channels moved on to the layers behind, from either of these.
    """
    plain = start_of(Refined(model, pipeline.ranges_of(calibration, work.options)), calibration.observations, work)
    found = [plain, *_some(_equalised(plain, work))]
    if absorbing:
        found += [one for start in tuple(found) for one in _some(_absorbed(start, work))]
    return tuple(sorted(found, key=lambda start: start.risk))


def looked_at(start: Start, work: Work) -> tuple[Start, ...]:
    """The start with its sources, and with narrower ranges where enough images speak for them and they err less."""
    worst = sorted(sorted(range(len(start.risks)), key=lambda index: -start.risks[index])[:_LOOKED_AT])
    jury, refined = work.jury.chosen(worst), start.refined
    prepared = refined.model.prepared
    found = sources(prepared.model, work.decided(refined), jury, track=work.track)
    known = replace(start, sources=found)
    if speaking(start.risks) < EVIDENCE:
        return (known,)
    ranges, left = narrowed(
        prepared, refined.table.ranges, start.observations, work.options.settings, found, jury, track=work.track
    )
    count = sum(span != refined.table.ranges[name] for name, span in ranges.items())
    if not count:
        return (known,)
    note = f"the ranges of {count} tensors leave out their rarest values, by measurement of the masks"
    table = replace(refined.table, ranges=ranges)
    other = start_of(replace(refined, table=table, notes=(*refined.notes, note)), start.observations, work)
    return tuple(sorted((known, replace(other, sources=left)), key=lambda one: one.risk))


def start_of(refined: Refined, observations: Observations, work: Work) -> Start:
    """With the risk of its tensors' rounding; its weights are yet to be rounded together."""
    return Start(refined, observations, work.risks(refined, weights=()))


def _some(start: Start | None) -> tuple[Start, ...]:
    return () if start is None else (start,)


def _equalised(start: Start, work: Work) -> Start | None:
    """With channels scaled alike; None where none is free to be."""
    prepared = start.refined.model.prepared
    rounded = rounded_tensors(prepared.model, work.decided(start.refined))
    done = equalise(prepared, start.observations.channels, rounded)
    if done is None:
        return None
    what = f"{done.classes} classes of channels scaled by {done.least:.2g} to {done.most:.2g}"
    return _rewritten(start, done.prepared, what, work)


def _absorbed(start: Start, work: Work) -> Start | None:
    """With constants moved on to where no grid must hold them; None where there are none."""
    done = absorb(start.refined.model.prepared, start.observations.channels)
    if done is None:
        return None
    return _rewritten(
        start, done.prepared, f"constants of {done.channels} channels moved on to the layers behind", work
    )


def _rewritten(start: Start, prepared: Prepared, what: str, work: Work) -> Start | None:
    """Another spelling of the same network, observed anew; None where it is not the same on the images."""
    refined, options, jury = start.refined, work.options, work.jury
    before = refined.model.prepared.model
    changed = deviation(before, prepared.model, jury.feeds, jury.outputs, threads=jury.threads)
    if changed > EQUAL:
        log.warning("not taken: %s, since the float output changes by %.1g of its largest", what, changed)
        return None
    model = replace(refined.model, prepared=prepared)
    observed = pipeline.calibrate(model, work.data, options, track=work.track).observations
    note = f"{what}; in float the output is equal to {changed:.0e} of its largest value"
    like = replace(options, calibrator=refined.table.calibrator, percent=refined.table.percent)
    return start_of(Refined(model, pipeline.choose(observed, like), (*refined.notes, note)), observed, work)
