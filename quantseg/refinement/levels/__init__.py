"""Effort levels: fast, balanced and best say how much refinement is done with the calibration images.

fast       calibrated ranges, one for each channel of outputs, and input channels reordered for int8 kernels
balanced   also cross-layer equalisation, range search, a float region where rounding would change the masks,
           compensated (GPTQ) rounding of weights and bias correction; each is kept only where it lowers the error
best       the same with a wider search, and weight rounding learned from the float model's outputs (needs torch)
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from quantseg.calibration.context import Context
from quantseg.calibration.observation import Observations
from quantseg.data import Subset
from quantseg.data.folder import choose
from quantseg.data.heads import judged_outputs
from quantseg.errors import PlanError
from quantseg.graph import signature
from quantseg.mixed_precision.risk import Limits, ReferenceOutputs
from quantseg.progress import expect
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import rounded_tensors
from quantseg.refinement.levels.breadth import BALANCED, BEST, EFFORTS, FAST, Breadth, full
from quantseg.refinement.levels.float_regions import FRAGILE, HARMLESS, steadied
from quantseg.refinement.levels.outputs import part_outputs, parted
from quantseg.refinement.levels.passes import BUDGET, Passes, left_out, within
from quantseg.refinement.levels.rounding import ways_to_round
from quantseg.refinement.levels.starts import EQUAL, Start, Work, looked_at, starts_of
from quantseg.refinement.outliers import outliers
from quantseg.refinement.steps import Step, chained, order_channels
from quantseg.runtimes import as_written

__all__ = [
    "BALANCED",
    "BEST",
    "BUDGET",
    "EFFORTS",
    "EQUAL",
    "FAST",
    "FRAGILE",
    "HARMLESS",
    "LIMITS",
    "check",
    "is_less",
    "judged_briefly",
    "level",
    "passes_of",
    "rounded",
    "searched",
]

LIMITS = Limits()
"""What leaving nodes float for the masks may cost; how they were chosen: reports/benchmarks/limits.md."""
_BRIEFLY = 8
"""Most calibration images on which a finished model is judged."""


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
    breadth = full(effort)
    compared = choose(every, breadth.judged)
    rounded = {compared[index] for index in choose(tuple(range(len(compared))), breadth.rounded_on)}
    return choose(tuple(index for index in every if index not in rounded) or every, _BRIEFLY)


def level(
    effort: str, observations: Observations, *, limits: Limits | None = LIMITS, budget: float | None = 1.0
) -> Step:
    """The step of an effort level, for a calibrated candidate. It uses the context's images alone and no labels.

    observations: of the candidate's graph. limits: of what stays float for the masks; None: all is in int8. budget: the
    most work of balanced, in multiples of BUDGET (see passes.py); None: any amount. Candidates are compared by
    their margin-weighted output error. balanced chooses between channels as they are and equalised, and between
    ranges as calibrated and narrower, with activations rounded; then a float region; then reorders channels; then
    chooses between ways to round weights (nearest, compensated, with corrected biases); what its budget leaves out
    is noted. best pursues four starts as far as the float region, also with absorbed biases, measures more regions,
    and tries learned rounding too. Raises PlanError for a name that is not in EFFORTS; the step raises PlanError,
    CalibrationError, DataError, and MissingExtraError for best without torch.
    """
    check(effort)
    if effort == FAST:
        return chained(part_outputs(observations), order_channels) if limits else order_channels
    wide = full(effort, leave_float=limits is not None)

    def step(candidate: Candidate, context: Context) -> Candidate:
        passes = passes_of(candidate, context)
        breadth = within(passes, wide, budget if effort == BALANCED else None)
        expect(context.track, passes.stages(breadth))
        start, seen = parted(candidate, observations) if limits else (candidate, observations)
        starts, work = searched(start, seen, context, breadth)
        outputs = judged_outputs(candidate.model.recipe, signature(candidate.prepared.model)[1])
        notes = [note for note in (outputs.note, left_out(passes, wide, breadth)) if note]
        best = starts[0].candidate
        if limits is not None and breadth.proposals > 1:  # one proposal is the empty region
            best = steadied(starts, work, limits, proposals=breadth.proposals)
        return rounded(best, work).noted(*notes, *outliers(observations))

    return step


def searched(
    candidate: Candidate, observations: Observations, context: Context, breadth: Breadth
) -> tuple[list[Start], Work]:
    """The starts of least error, with channels as they are or equalised and ranges as calibrated or narrower."""
    work = _work(candidate, context, breadth)
    return _followed(starts_of(candidate, observations, work, absorbing=breadth.absorbing), work), work


def rounded(candidate: Candidate, work: Work) -> Candidate:
    """The candidate with its channels in order and its weights rounded in the way that errs least."""
    ordered, breadth = order_channels(candidate, work.context), work.breadth
    few = choose(tuple(range(len(work.reference.feeds))), breadth.rounded_on)
    return _best(ways_to_round(ordered, few, work, learning=breadth.learning), few, work)


def passes_of(candidate: Candidate, context: Context) -> Passes:
    """What the work of refining the candidate depends on. Raises ModelError, DataError."""
    model, names = candidate.prepared.model, context.data.names
    tensors = len(rounded_tensors(model, candidate.plan))
    given = context.data.load(0).feeds(candidate.model.input.name)
    return Passes.of(candidate.prepared, given, images=len(names), tensors=tensors)


def _work(candidate: Candidate, context: Context, breadth: Breadth) -> Work:
    """The context, and the reference outputs for the images on which candidates are compared."""
    data, model = context.data, candidate.model
    judged = replace(context, data=Subset(data, choose(tuple(range(len(data.names))), breadth.judged)))
    feeds = [judged.data.load(index).feeds(model.input.name) for index in range(len(judged.data.names))]
    network, output, runtime = model.prepared.model, model.recipe.output, as_written(context.runtime)
    reference = ReferenceOutputs.of(
        network, feeds, output, threads=context.threads, runtime=runtime, track=context.track
    )
    return Work(context, judged, reference, breadth)


def _followed(starts: tuple[Start, ...], work: Work) -> list[Start]:
    """At most so many starts of least error, with their sources measured and narrower ranges tried."""
    most = work.breadth.starts
    found = [one for start in starts[:most] for one in looked_at(start, work)]
    return sorted(found, key=lambda start: start.risk)[:most]


def _best(ways: Iterable[Candidate], few: tuple[int, ...], work: Work) -> Candidate:
    """The way that errs least on images that weights were not rounded on, if there are any; the simpler one in doubt.

    ways: the simplest first. few: indices of the images on which weights were rounded.
    """
    unseen = [index for index in range(len(work.reference.feeds)) if index not in few] or list(few)
    best, least = None, list[float]()
    for way in ways:
        risks = work.risks(way)
        found = [risks[index] for index in unseen]
        if best is None or is_less(found, least):
            best, least = way, found
    assert best is not None
    return best


def is_less(risks: Sequence[float], others: Sequence[float]) -> bool:
    """Whether risks are less than others of the same images by more than the noise: one standard error of the mean."""
    gains = [other - risk for risk, other in zip(risks, others, strict=True)]
    noise = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return fmean(gains) > noise
