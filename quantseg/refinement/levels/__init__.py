"""Effort levels: fast, balanced and best say how much refinement is done with the calibration images.

fast       calibrated ranges, and input channels reordered for int8 kernels
balanced   also cross-layer equalisation, range search, a float region where rounding would change the masks,
           compensated (GPTQ) rounding of weights and bias correction; each is kept only where it lowers the error
best       the same with a wider search, and weight rounding learned from the float model's outputs (needs torch)
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import fmean

from quantseg.calibration.context import Context
from quantseg.calibration.observation import Observations
from quantseg.data import Subset
from quantseg.data.folder import choose
from quantseg.data.heads import judged_outputs
from quantseg.errors import PlanError
from quantseg.graph import signature
from quantseg.mixed_precision.risk import ReferenceOutputs
from quantseg.quantization.candidate import Candidate
from quantseg.refinement.levels.float_regions import FLOAT_MACS, FLOAT_TIME, FRAGILE, HARMLESS, steadied
from quantseg.refinement.levels.rounding import ways_to_round
from quantseg.refinement.levels.starts import EQUAL, Start, Work, looked_at, starts_of
from quantseg.refinement.outliers import outliers
from quantseg.refinement.steps import Step, order_channels
from quantseg.runtimes import as_written

__all__ = [
    "BALANCED",
    "BEST",
    "EFFORTS",
    "EQUAL",
    "FAST",
    "FLOAT_MACS",
    "FLOAT_TIME",
    "FRAGILE",
    "HARMLESS",
    "check",
    "judged_briefly",
    "level",
]

FAST, BALANCED, BEST = EFFORTS = ("fast", "balanced", "best")

_BRIEFLY = 8
"""Most calibration images on which a finished model is judged."""
_ROUNDED_ON, _JUDGED_ON = 12, 24
"""Most images on which weights are rounded, and most on which candidates are compared. Where there are enough images,
rounded weights are compared on images that they were not rounded on."""


@dataclass(frozen=True)
class Breadth:
    """How wide a level searches.

    starts: most starts that are pursued. proposals: float regions of each start that are measured as a whole.
    absorbing: see `starts_of`. learning: whether learned rounding is tried too.
    """

    starts: int
    proposals: int
    absorbing: bool = False
    learning: bool = False


_BREADTH = {BALANCED: Breadth(1, 6), BEST: Breadth(4, 12, absorbing=True, learning=True)}


def check(effort: str) -> None:
    """Raises PlanError for a name that is not in EFFORTS."""
    if effort not in EFFORTS:
        raise PlanError(f"{effort!r} is no effort; choose {', '.join(EFFORTS[:-1])} or {EFFORTS[-1]}")


def judged_briefly(count: int, effort: str) -> tuple[int, ...]:
    """Which of `count` calibration images a finished model is judged on: a few, evenly spread.

    At balanced and best, images that weights were not rounded on, if there are any. At fast one in eight, since float
    and int8 model both run on them, and the command is to take little longer than calibration.
    """
    every = tuple(range(count))
    if effort == FAST:
        return choose(every, min(_BRIEFLY, max(2, count // 8)))
    compared = choose(every, _JUDGED_ON)
    rounded = {compared[index] for index in choose(tuple(range(len(compared))), _ROUNDED_ON)}
    return choose(tuple(index for index in every if index not in rounded) or every, _BRIEFLY)


def level(effort: str, observations: Observations, *, leave_float: bool = True) -> Step:
    """The step of an effort level, for a calibrated candidate. It uses the context's images alone and no labels.

    observations: of the candidate's graph. leave_float: whether a float region may be kept. Candidates are compared by
    their margin-weighted output error. balanced chooses between channels as they are and equalised, and between ranges
    as calibrated and narrower, with activations rounded; then a float region; then reorders channels; then chooses
    between ways to round weights (nearest, compensated, with corrected biases). best pursues four starts as far as the
    float region, also with absorbed biases, measures more regions, and tries learned rounding too. Raises PlanError for
    a name that is not in EFFORTS; the step raises PlanError, CalibrationError, DataError, and MissingExtraError for
    best without torch.
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
        seen = judged_outputs(candidate.model.recipe, signature(candidate.prepared.model)[1])
        return _best(ways, few, work).noted(*([seen.note] if seen.note else []), *outliers(observations))

    return step


def _work(candidate: Candidate, context: Context) -> Work:
    """The context, and the reference outputs for the images on which candidates are compared."""
    data, model = context.data, candidate.model
    judged = replace(context, data=Subset(data, choose(tuple(range(len(data.names))), _JUDGED_ON)))
    feeds = [judged.data.load(index).feeds(model.input.name) for index in range(len(judged.data.names))]
    network, output, runtime = model.prepared.model, model.recipe.output, as_written(context.runtime)
    reference = ReferenceOutputs.of(network, feeds, output, threads=context.threads, runtime=runtime)
    return Work(context, judged, reference)


def _followed(starts: tuple[Start, ...], work: Work, most: int) -> list[Start]:
    """At most `most` starts of least error, with their sources measured and narrower ranges tried."""
    found = [one for start in starts[:most] for one in looked_at(start, work)]
    return sorted(found, key=lambda start: start.risk)[:most]


def _best(ways: Iterable[Candidate], few: tuple[int, ...], work: Work) -> Candidate:
    """The candidate of least error on images that weights were not rounded on, if there are any; of equals the first.

    few: indices of the images on which weights were rounded.
    """
    unseen = [index for index in range(len(work.reference.feeds)) if index not in few] or list(few)

    def of_unseen(candidate: Candidate) -> float:
        risks = work.risks(candidate)
        return fmean(risks[index] for index in unseen)

    return min(ways, key=of_unseen)
