"""How much is done on the calibration images for the same masks: fast, balanced or best, one word for people.

fast       the calibrated ranges, and channels in the order that suits int8 kernels
balanced   channels equalised, ranges narrowed where that harms no mask, the region that breaks the masks left float,
           channels ordered, weights rounded so that errors compensate, biases corrected
best       the same with a wider search, and then the rounding learned by descent on the network's own answer (torch)
"""

from dataclasses import dataclass, replace
from statistics import fmean

from quantseg import pipeline
from quantseg.calibration.file import Calibration
from quantseg.data import Dataset
from quantseg.data.folder import choose
from quantseg.errors import PlanError
from quantseg.evaluation.reference_models import Subset
from quantseg.mixed_precision.risk import Jury
from quantseg.pipeline import CalibrationOptions, FloatModel
from quantseg.progress import Track, quiet
from quantseg.refinement.levels.ordering import reordered
from quantseg.refinement.levels.starts import EQUAL, Refined, Start, Work, looked_at, starts_of
from quantseg.refinement.levels.steadying import FLOAT_TIME, FLOAT_WORK, FRAGILE, HARMLESS, steadied
from quantseg.refinement.levels.weights import learned, ways_to_round
from quantseg.refinement.outliers import outliers

__all__ = [
    "BALANCED",
    "BEST",
    "EFFORTS",
    "EQUAL",
    "FAST",
    "FLOAT_TIME",
    "FLOAT_WORK",
    "FRAGILE",
    "HARMLESS",
    "Refined",
    "check",
    "refine",
    "reordered",
]

FAST, BALANCED, BEST = EFFORTS = ("fast", "balanced", "best")

_ROUNDED_ON, _JUDGED_ON = 12, 24
"""Images on which weights are rounded, and on which all is judged: where there are enough, what was made from some
images is judged on the others."""


@dataclass(frozen=True)
class Breadth:
    """How many starts are followed, and regions measured as a whole of each. absorbing: see `starts_of`."""

    starts: int
    proposals: int
    absorbing: bool


_BREADTH = {BALANCED: Breadth(1, 6, absorbing=False), BEST: Breadth(4, 12, absorbing=True)}


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

    balanced takes the channels as they are or equalised, and the ranges as calibrated or narrower, whichever errs less
    when tensors are rounded; then the region that had better stay float; then the order of channels; then the weights,
    of which several ways to round them are judged, nearest first. best follows four starts as far as the region,
    absorbed constants among them, measures more regions, and learns the rounding too. leave_float: whether a region may
    stay float. seed: of the learning. Raises PlanError, CalibrationError, DataError, and MissingExtraError for best
    without torch.
    """
    check(effort)
    if effort == FAST:
        return reordered(Refined(model, pipeline.ranges_of(calibration, options)), options.settings)
    judged = Subset(data, choose(tuple(range(len(data.names))), _JUDGED_ON))
    feeds = [{model.input.name: judged.load(index).tensor} for index in range(len(judged.names))]
    threads = options.threads or pipeline.default_threads()
    jury = Jury.of(model.prepared.model, feeds, model.recipe.output, threads=threads)
    work, breadth = Work(data, options, jury, track), _BREADTH[effort]
    first = starts_of(model, calibration, work, absorbing=breadth.absorbing)
    starts = _followed(first, work, breadth.starts)
    start = steadied(starts, work, proposals=breadth.proposals) if leave_float else starts[0].refined
    start = reordered(start, options.settings)
    places = choose(tuple(range(len(feeds))), _ROUNDED_ON)
    unseen = [index for index in range(len(feeds)) if index not in places] or list(places)
    ways = list(ways_to_round(start, Subset(judged, places), work))
    if effort == BEST:
        ways.append(learned(start, work, seed=seed))

    def of_unseen(refined: Refined) -> float:
        risks = work.risks(refined)
        return fmean(risks[index] for index in unseen)

    best = min(ways, key=of_unseen)
    return replace(best, notes=(*best.notes, *outliers(calibration.observations)))


def _followed(starts: tuple[Start, ...], work: Work, most: int) -> list[Start]:
    """Those that err least, with what is known of their tensors and with narrower ranges."""
    found = [one for start in starts[:most] for one in looked_at(start, work)]
    return sorted(found, key=lambda start: start.risk)[:most]
