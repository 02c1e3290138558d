"""How much is done on the calibration images for the same masks: fast, balanced or best, one word for people.

fast       the calibrated ranges alone
balanced   channels equalised, regions that break the masks left float, weights rounded so that errors compensate,
           biases corrected
best       the same, and then the rounding learned by descent on the network's own answer (torch)
"""

import logging
import math
from dataclasses import dataclass, replace

from quantseg import pipeline
from quantseg.calibration import Calibration, CalibrationTable
from quantseg.correction import compensate, correct_biases, outliers
from quantseg.data import Dataset
from quantseg.data.folder import choose
from quantseg.equalisation import deviation, equalise
from quantseg.errors import PlanError
from quantseg.fake_quant import fake_quantised, rounded_tensors
from quantseg.islands import Region, judges_of, regions, risks_of, sources
from quantseg.islands.risks import Feeds
from quantseg.learning import learn
from quantseg.pipeline import CalibrationOptions, FloatModel
from quantseg.planning import plan
from quantseg.progress import Track, quiet
from quantseg.references import Subset
from quantseg.work import multiply_accumulates

log = logging.getLogger(__name__)

FAST, BALANCED, BEST = EFFORTS = ("fast", "balanced", "best")

FLOAT_BUDGET = 0.15
"""Most of the multiply-accumulates that may stay float for the masks' sake, as a share."""
HARMLESS = 0.005
"""The risk (see islands.margins) below which nothing more is left float: few pixels change their class."""
EQUAL = 1e-4
"""Most that equalisation may change an output in float, over the output's largest value."""
FRAGILE = "int8 would change the masks here, by measurement"
"""Why a node stays float."""

_LOOKED_AT, _ROUNDED_ON = 3, 12
"""Images on which each place that rounds is measured alone, those that plain rounding harms most; and images on which
weights are rounded and candidates judged."""


@dataclass(frozen=True)
class Refined:
    """A model as it will be quantised, the ranges to do it with, and what was done, one line each."""

    model: FloatModel
    table: CalibrationTable
    notes: tuple[str, ...] = ()


def check(effort: str) -> None:
    """Raises PlanError for a word that is none of EFFORTS."""
    if effort not in EFFORTS:
        raise PlanError(f"{effort!r} is no effort; choose {', '.join(EFFORTS[:-1])} or {EFFORTS[-1]}")


def refine(
    model: FloatModel,
    calibration: Calibration,
    data: Dataset,
    options: CalibrationOptions,
    *,
    effort: str = BALANCED,
    leave_float: bool = True,
    seed: int = 0,
    track: Track = quiet,
) -> Refined:
    """What the effort makes of a calibrated model, from the calibration images alone; no labels are read.

    balanced and best try the channels as they are and equalised, and keep what errs least on those images, the plain
    model among them. leave_float: whether regions may stay float. seed: of the learning. Raises PlanError,
    CalibrationError, DataError, and MissingExtraError for best without torch.
    """
    check(effort)
    table = pipeline.ranges_of(calibration, options)
    plain = Refined(model, table)
    if effort == FAST:
        return plain
    judged = _subset(data, _ROUNDED_ON)
    feeds = [{model.input.name: judged.load(index).tensor} for index in range(len(judged.names))]
    threads = options.threads or pipeline.default_threads()
    output = model.recipe.output
    judges = judges_of(model.prepared.model, feeds, output, threads=threads)

    def risks(refined: Refined) -> tuple[float, ...]:
        decided = plan(refined.model.prepared, refined.table.ranges, options.settings)
        rounded = fake_quantised(refined.model.prepared.model, decided)
        return risks_of(rounded, judges, feeds, output, threads=threads)

    at_first = risks(plain)
    worst = sorted(sorted(range(len(feeds)), key=lambda index: -at_first[index])[:_LOOKED_AT])
    starts, candidates = [plain], [plain]
    for start in (plain, _equalised(plain, calibration, data, feeds, options, track)):
        if start is not None:
            seen = [feeds[index] for index in worst]
            starts.append(_steadied(start, seen, options, track) if leave_float else start)
            candidates.append(_compensated(starts[-1], judged, options, track))
    totals = [math.fsum(risks(candidate)) for candidate in candidates]
    least = totals.index(min(totals))
    best = candidates[least]
    if effort == BEST:
        learned = _learned(starts[least], data, options, seed, track)
        best = min(best, learned, key=lambda candidate: math.fsum(risks(candidate)))
    notes = (*best.notes, *outliers(calibration.observations))
    return replace(best, notes=notes)


def _equalised(
    start: Refined,
    calibration: Calibration,
    data: Dataset,
    feeds: Feeds,
    options: CalibrationOptions,
    track: Track,
) -> Refined | None:
    """With channels scaled alike, and observed again; None where none is free to be, or the network would change."""
    prepared = start.model.prepared
    rounded = rounded_tensors(prepared.model, plan(prepared, start.table.ranges, options.settings))
    done = equalise(prepared, calibration.observations.channels, rounded)
    if done is None:
        return None
    threads, output = options.threads or pipeline.default_threads(), str(start.model.recipe.output.name)
    changed = deviation(prepared.model, done.prepared.model, feeds, output, threads=threads)
    if changed > EQUAL:
        log.warning("channels are left as they are: scaled, the float output changes by %.1g of its largest", changed)
        return None
    model = replace(start.model, prepared=done.prepared)
    observed = pipeline.calibrate(model, data, options, track=track)
    note = (
        f"{done.classes} classes of channels scaled by {done.least:.2g} to {done.most:.2g}; "
        f"in float the output is equal to {changed:.0e} of its largest value"
    )
    like = replace(options, calibrator=start.table.calibrator, percent=start.table.percent)
    return Refined(model, pipeline.choose(observed.observations, like), (*start.notes, note))


def _steadied(start: Refined, feeds: Feeds, options: CalibrationOptions, track: Track) -> Refined:
    """With the region left float whose rounding changes the masks most."""
    model, threads = start.model, options.threads or pipeline.default_threads()
    prepared, output = model.prepared, model.recipe.output
    decided = plan(prepared, start.table.ranges, options.settings)
    judges = judges_of(prepared.model, feeds, output, threads=threads)
    found = sources(prepared.model, decided, judges, feeds, output, threads=threads, track=track)
    counts = multiply_accumulates(prepared, {name: array.shape for name, array in feeds[0].items()})
    total = sum(counts.values()) or 1
    chosen = _enough(regions(found, {name: count / total for name, count in counts.items()}, FLOAT_BUDGET))
    if not chosen.nodes:
        return start
    kept = {**prepared.kept_float, **dict.fromkeys(sorted(chosen.nodes), FRAGILE)}
    note = f"{len(chosen.nodes)} nodes stay float for the masks, {100 * chosen.cost:.1f} % of multiply-accumulates"
    return Refined(replace(model, prepared=replace(prepared, kept_float=kept)), start.table, (*start.notes, note))


def _enough(growing: tuple[Region, ...]) -> Region:
    """The first region that leaves no more than a harmless risk, else the last."""
    return next((region for region in growing if region.risk <= HARMLESS), growing[-1])


def _compensated(start: Refined, data: Dataset, options: CalibrationOptions, track: Track) -> Refined:
    """With weights rounded together instead of one by one, and biases that make up for what is left."""
    model, ranges, settings = start.model, start.table.ranges, options.settings
    threads, name, exact = options.threads or pipeline.default_threads(), model.input.name, model.prepared
    done = compensate(exact, ranges, settings, name, data, threads=threads, track=track)
    done = correct_biases(
        done, ranges, settings, name, data, method="analytic", reference=exact.model, threads=threads, track=track
    )
    return replace(start, model=replace(model, prepared=done))


def _learned(start: Refined, data: Dataset, options: CalibrationOptions, seed: int, track: Track) -> Refined:
    """With weights and biases that were learned on the network's own answer."""
    model, threads = start.model, options.threads or pipeline.default_threads()
    done = learn(
        model.prepared,
        start.table.ranges,
        options.settings,
        model.recipe,
        model.input.name,
        data,
        seed=seed,
        threads=threads,
        track=track,
    )
    return replace(start, model=replace(model, prepared=done))


def _subset(data: Dataset, count: int) -> Dataset:
    places = choose(tuple(range(len(data.names))), count)
    return Subset(data, places)
