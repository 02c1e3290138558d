"""How much is done on the calibration images for the same masks: fast, balanced or best, one word for people.

fast       the calibrated ranges, and channels in the order that suits int8 kernels
balanced   channels equalised, ranges narrowed where that harms no mask, the region that breaks the masks left float,
           channels ordered, weights rounded so that errors compensate, biases corrected
best       the same with a wider search, and then the rounding learned by descent on the network's own answer (torch)
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import fmean

from quantseg.calibration.context import Context
from quantseg.calibration.observation import Observations
from quantseg.data import Subset
from quantseg.data.folder import choose
from quantseg.errors import PlanError
from quantseg.mixed_precision.risk import ReferenceOutputs
from quantseg.quantization.candidate import Candidate
from quantseg.refinement.levels.float_regions import FLOAT_TIME, FLOAT_WORK, FRAGILE, HARMLESS, steadied
from quantseg.refinement.levels.rounding import ways_to_round
from quantseg.refinement.levels.starts import EQUAL, Start, Work, looked_at, starts_of
from quantseg.refinement.outliers import outliers
from quantseg.refinement.steps import Step, order_channels

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
    "check",
    "level",
]

FAST, BALANCED, BEST = EFFORTS = ("fast", "balanced", "best")

_ROUNDED_ON, _JUDGED_ON = 12, 24
"""Images on which weights are rounded, and on which all is judged: where there are enough, what was made from some
images is judged on the others."""


@dataclass(frozen=True)
class Breadth:
    """How many starts are followed, and regions measured as a whole of each. absorbing: see `starts_of`.

    learning: whether the rounding is learned too.
    """

    starts: int
    proposals: int
    absorbing: bool = False
    learning: bool = False


_BREADTH = {BALANCED: Breadth(1, 6), BEST: Breadth(4, 12, absorbing=True, learning=True)}


def check(effort: str) -> None:
    """Raises PlanError for a word that is none of EFFORTS."""
    if effort not in EFFORTS:
        raise PlanError(f"{effort!r} is no effort; choose {', '.join(EFFORTS[:-1])} or {EFFORTS[-1]}")


def level(effort: str, observations: Observations, *, leave_float: bool = True) -> Step:
    """What the effort makes of a calibrated candidate, from the context's images alone; no labels are read.

    observations: of the candidate's graph. balanced takes the channels as they are or equalised, and the ranges as
    calibrated or narrower, whichever errs less when tensors are rounded; then the region that had better stay float;
    then the order of channels; then the weights, of which several ways to round them are judged, nearest first. best
    follows four starts as far as the region, absorbed constants among them, measures more regions, and learns the
    rounding too. leave_float: whether a region may stay float. Raises PlanError for a word that is none of EFFORTS; the
    step raises PlanError, CalibrationError, DataError, and MissingExtraError for best without torch.
    """
    check(effort)
    if effort == FAST:
        return order_channels
    breadth = _BREADTH[effort]

    def step(candidate: Candidate, context: Context) -> Candidate:
        work = _work(candidate, context)
        starts = _followed(starts_of(candidate, observations, work, absorbing=breadth.absorbing), work, breadth.starts)
        start = steadied(starts, work, proposals=breadth.proposals) if leave_float else starts[0].candidate
        ordered = order_channels(start, context)
        few = choose(tuple(range(len(work.reference.feeds))), _ROUNDED_ON)
        ways = ways_to_round(ordered, few, work, learning=breadth.learning)
        return _best(ways, few, work).noted(*outliers(observations))

    return step


def _work(candidate: Candidate, context: Context) -> Work:
    """The context, and of as many of its images as are judged the float model's answers."""
    data, model = context.data, candidate.model
    judged = replace(context, data=Subset(data, choose(tuple(range(len(data.names))), _JUDGED_ON)))
    feeds = [{model.input.name: judged.data.load(index).tensor} for index in range(len(judged.data.names))]
    return Work(
        context, judged, ReferenceOutputs.of(model.prepared.model, feeds, model.recipe.output, threads=context.threads)
    )


def _followed(starts: tuple[Start, ...], work: Work, most: int) -> list[Start]:
    """Those that err least, with what is known of their tensors and with narrower ranges."""
    found = [one for start in starts[:most] for one in looked_at(start, work)]
    return sorted(found, key=lambda start: start.risk)[:most]


def _best(ways: Iterable[Candidate], few: tuple[int, ...], work: Work) -> Candidate:
    """The way that errs least on the images that weights were not rounded on, if there are others; the first of equals.

    few: those that they were rounded on.
    """
    unseen = [index for index in range(len(work.reference.feeds)) if index not in few] or list(few)

    def of_unseen(candidate: Candidate) -> float:
        risks = work.risks(candidate)
        return fmean(risks[index] for index in unseen)

    return min(ways, key=of_unseen)
