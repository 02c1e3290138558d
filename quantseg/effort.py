"""How much is done on the calibration images for the same masks: fast, balanced or best, one word for people.

fast       the calibrated ranges alone
balanced   channels equalised, the region that breaks the masks left float, weights rounded so that errors compensate,
           biases corrected
best       the same, and then the rounding learned by descent on the network's own answer (torch)
"""

import logging
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from statistics import fmean

from quantseg import pipeline
from quantseg.calibration import Calibration, CalibrationTable
from quantseg.correction import METHODS, compensate, correct_biases, outliers
from quantseg.data import Dataset
from quantseg.data.folder import choose
from quantseg.equalisation import deviation, equalise
from quantseg.errors import PlanError
from quantseg.fake_quant import fake_quantised, rounded_tensors
from quantseg.islands import judges_of, price_of, regions, risks_of, sources, worth
from quantseg.islands.risks import Feeds
from quantseg.learning import learn
from quantseg.pipeline import CalibrationOptions, FloatModel
from quantseg.planning import plan
from quantseg.progress import Track, quiet
from quantseg.references import Subset

log = logging.getLogger(__name__)

FAST, BALANCED, BEST = EFFORTS = ("fast", "balanced", "best")

FLOAT_WORK, FLOAT_TIME = 0.15, 0.5
"""Most that may stay float for the masks' sake, as a share of the multiply-accumulates, and most that this may add to
the time, by the rule of islands.price."""
HARMLESS = 0.005
"""The risk (see islands.margins) below which nothing more is left float: few pixels change their class."""
EQUAL = 1e-4
"""Most that equalisation may change an output in float, over the output's largest value."""
FRAGILE = "int8 would change the masks here, by measurement"
"""Why a node stays float."""

_LOOKED_AT, _ROUNDED_ON, _JUDGED_ON = 3, 12, 24
"""Images on which each tensor is rounded alone, those that rounding harms most; on which weights are rounded; and on
which all is judged: where there are enough, what was made from some images is judged on the others."""
_PROPOSED = 6
"""Regions that are measured as a whole, of those that promise most."""


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

    balanced and best take the channels as they are or equalised, whichever errs less when tensors are rounded; then the
    region that had better stay float; then the weights, of which several ways to round them are judged, nearest first.
    leave_float: whether a region may stay float. seed: of the learning. Raises PlanError, CalibrationError, DataError,
    and MissingExtraError for best without torch.
    """
    check(effort)
    table = pipeline.ranges_of(calibration, options)
    plain = Refined(model, table)
    if effort == FAST:
        return plain
    judged = Subset(data, choose(tuple(range(len(data.names))), _JUDGED_ON))
    feeds = [{model.input.name: judged.load(index).tensor} for index in range(len(judged.names))]
    threads = options.threads or pipeline.default_threads()
    output = model.recipe.output
    judges = judges_of(model.prepared.model, feeds, output, threads=threads)

    def risks(refined: Refined, weights: Container[str] | None = None) -> tuple[float, ...]:
        """weights: see `fake_quantised`."""
        decided = plan(refined.model.prepared, refined.table.ranges, options.settings)
        rounded = fake_quantised(refined.model.prepared.model, decided, weights=weights)
        return risks_of(rounded, judges, feeds, output, threads=threads)

    starts = filter(None, (plain, _equalised(plain, calibration, data, feeds, options, track)))
    of_tensors = ((risks(start, weights=()), start) for start in starts)  # weights are yet to be rounded together
    at_first, start = min(of_tensors, key=lambda seen: fmean(seen[0]))
    if leave_float:
        worst = sorted(sorted(range(len(feeds)), key=lambda index: -at_first[index])[:_LOOKED_AT])
        proposed = _steadied(start, [feeds[index] for index in worst], options, track)
        start = min(proposed, key=lambda way: worth(max(fmean(risks(way[0], weights=())), HARMLESS), way[1]))[0]
    places = choose(tuple(range(len(feeds))), _ROUNDED_ON)
    unseen = [index for index in range(len(feeds)) if index not in places] or list(places)
    few = Subset(judged, places)
    rounded = _compensated(start, few, options, track)
    ways = [start, rounded, *(_corrected(rounded, start, method, few, options, track) for method in METHODS)]
    if effort == BEST:
        ways.append(_learned(start, data, options, seed, track))

    def of_unseen(refined: Refined) -> float:
        found = risks(refined)
        return fmean(found[index] for index in unseen)

    best = min(ways, key=of_unseen)
    return replace(best, notes=(*best.notes, *outliers(calibration.observations)))


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


def _steadied(
    start: Refined, feeds: Feeds, options: CalibrationOptions, track: Track
) -> Iterator[tuple[Refined, float]]:
    """With one or another region left float whose rounding changes the masks, and what each adds to the time."""
    model, threads = start.model, options.threads or pipeline.default_threads()
    prepared, output = model.prepared, model.recipe.output
    decided = plan(prepared, start.table.ranges, options.settings)
    judges = judges_of(prepared.model, feeds, output, threads=threads)
    found = sources(prepared.model, decided, judges, feeds, output, threads=threads, track=track)
    price = price_of(prepared, decided, {name: array.shape for name, array in feeds[0].items()})

    def allowed(nodes: frozenset[str]) -> bool:
        return price.of_work(nodes) <= FLOAT_WORK and price.of_time(nodes) <= FLOAT_TIME

    for region in regions(found, price, allowed, harmless=HARMLESS)[:_PROPOSED]:
        kept = {**prepared.kept_float, **dict.fromkeys(sorted(region.nodes), FRAGILE)}
        work = 100 * price.of_work(region.nodes)
        note = f"{len(region.nodes)} nodes stay float for the masks, {work:.1f} % of multiply-accumulates"
        notes = (*start.notes, note) if region.nodes else start.notes
        yield (
            replace(start, model=replace(model, prepared=replace(prepared, kept_float=kept)), notes=notes),
            region.price,
        )


def _compensated(start: Refined, data: Dataset, options: CalibrationOptions, track: Track) -> Refined:
    """With weights rounded together instead of one by one."""
    model, threads = start.model, options.threads or pipeline.default_threads()
    done = compensate(
        model.prepared, start.table.ranges, options.settings, model.input.name, data, threads=threads, track=track
    )
    return replace(start, model=replace(model, prepared=done))


def _corrected(
    start: Refined, exact: Refined, method: str, data: Dataset, options: CalibrationOptions, track: Track
) -> Refined:
    """With biases that make up for what rounding has changed in the channels' means, which are those of `exact`."""
    model, threads = start.model, options.threads or pipeline.default_threads()
    done = correct_biases(
        model.prepared,
        start.table.ranges,
        options.settings,
        model.input.name,
        data,
        method=method,
        reference=exact.model.prepared.model,
        threads=threads,
        track=track,
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
