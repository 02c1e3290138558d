"""The mixed-precision search on a real model, and its result."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from quantseg.calibration.context import Context
from quantseg.data import Dataset, Subset
from quantseg.data.heads import JudgedOutputs, judged_outputs
from quantseg.errors import DataError
from quantseg.evaluation.agreement import evaluate
from quantseg.evaluation.predictions import FoldedInput
from quantseg.graph import signature
from quantseg.mixed_precision.budget import Budget, Nodes, Point, Walk, candidates, front, moves, ordered, walk
from quantseg.mixed_precision.budget.judging import EvaluationImages, JudgedLoss, judged
from quantseg.mixed_precision.budget.weighing import Costs, in_int8, work_shares
from quantseg.progress import under_way
from quantseg.quantization import formats
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.writing import QuantizedModel
from quantseg.runtimes import Runtime

T = TypeVar("T")

IMAGES = 32
"""Default number of calibration images, and of evaluation images."""


@dataclass(frozen=True)
class Found:
    """The result of a search.

    candidate: with the chosen nodes kept float, and the reason. walk: all evaluated points. evaluated_on: the
    evaluation images and the budget. limit: most evaluations that were allowed. unit: of the points' cost. runtime:
    used for it.
    judged: the outputs that are compared. written: the evaluation of the written model, where format or placement make
    it another one than the walk's best. model: the written model; None until it is made.
    """

    candidate: Candidate
    walk: Walk
    evaluated_on: EvaluationImages
    limit: int
    unit: str
    runtime: Runtime
    judged: JudgedOutputs
    written: Point | None = None
    model: QuantizedModel | None = None

    def save(self, path: Path | str) -> Path:
        """Writes the model to a file and returns its path. Raises OutputError."""
        assert self.model is not None
        return self.model.save(path)

    def __str__(self) -> str:
        best, budget = self.result, self.evaluated_on.budget
        return (
            f"Found: {'within' if self.is_met else 'over'} the budget, {best.drop:.2f} points of mIoU lost, "
            f"{budget.mean:g} allowed\n  {100 * best.int8_share:.1f} % of the multiply-accumulates in int8, "
            f"{len(best.float_nodes)} nodes left float; {self.evaluations} of at most {self.limit} evaluations"
            f"{f'{chr(10)}  {self.judged.note}' if self.judged.note else ''}"
        )

    @property
    def result(self) -> Point:
        """The evaluated point of the written model."""
        return self.written or self.walk.best

    @property
    def is_met(self) -> bool:
        """Whether the written model is within the budget."""
        return self.evaluated_on.budget.holds(self.result)

    @property
    def evaluations(self) -> int:
        """How many evaluations were made."""
        return len(self.walk.points) + (self.written is not None)

    @property
    def front(self) -> tuple[Point, ...]:
        """The Pareto front of the evaluated points, the cheapest first."""
        return front(self.walk.points, self.evaluated_on.budget.classes)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        images = len(self.evaluated_on.images.names)
        return {
            "budget": self.evaluated_on.budget.to_json(),
            "output": self.judged.to_json(),
            "judged_against": "labels" if self.evaluated_on.labelled else "float masks",
            "is_met": self.is_met,
            "evaluations": {"made": self.evaluations, "at_most": self.limit, "images": images},
            "cost": self.unit,
            "precisions": [precision.name for precision in candidates(self.runtime)],
            "chosen": self.walk.best.to_json(),
            **({} if self.written is None else {"written": self.written.to_json()}),
            "points": [point.to_json() | {"is_pareto": point in self.front} for point in self.walk.points],
        }


def halves(images: Dataset) -> tuple[Subset, Subset]:
    """Splits images, in the order of their names, alternately into (calibration, evaluation) images.

    Raises DataError for a single image.
    """
    if len(images.names) < 2:
        raise DataError(
            "one image cannot be calibrated on and be judged as well; give more, or others with calib=… to calibrate on"
        )
    every = range(len(images.names))
    return Subset(images, tuple(every[::2])), Subset(images, tuple(every[1::2]))


def rehearse(model: FloatModel, images: Dataset, context: Context, *, labelled: bool) -> tuple[tuple[str, ...], float]:
    """The names of the model's classes, and roughly the seconds per image of an evaluation, measured on one image.

    labelled: whether labels are asked for. Raises DataError where they are and there are none, or they do not fit.
    """
    first = Subset(images, (0,))
    with closing(context.runtime.open(model.source, threads=context.threads, spinning=False)) as reference:
        seconds = []
        for _ in range(2):  # the first run of a session takes longer
            start = time.perf_counter()
            seen = evaluate(reference, reference, first, model.recipe)
            seconds.append(time.perf_counter() - start)
    if labelled and seen.float_scores is None:
        raise DataError(
            "no masks beside the images, so there are no labels; leave labels=True out or add a masks/ folder"
        )
    return seen.classes, seconds[-1]


@dataclass(frozen=True)
class Weighing:
    """Cost and noise of each node.

    prices: cost of leaving nodes float. shares: node → its share of the multiply-accumulates. noise: gives node → noise
    of its rounding; called only where the model all in int8 is over the budget.
    """

    prices: Costs
    shares: Mapping[str, float]
    noise: Callable[[], Mapping[str, float]]


def search(
    candidate: Candidate, evaluated_on: EvaluationImages, weighing: Weighing, context: Context, *, evaluations: int
) -> Found:
    """Finds the cheapest model within the budget. evaluations: most models that are evaluated, each on all images.

    Models are evaluated in QDQ format. Raises DataError where the labels or the budget do not fit the images, and
    the PlanError and CalibrationError of the candidate's plan.
    """
    prices = weighing.prices
    points: list[Point] = []

    def steps() -> list[Nodes]:
        found = moves(candidate.prepared.model, candidate.plan, weighing.noise())
        return [move.nodes for move in ordered(found, prices.nodes)]

    def price(nodes: Nodes) -> float:
        return math.fsum(prices.nodes.get(node, 0.0) for node in nodes)

    def evaluated(nodes: Nodes) -> Point:
        tried = candidate.left_float(nodes, "the search tries it in float")
        quantised = formats.emit(tried.prepared.model, tried.plan)
        what = f"evaluation {len(points) + 1} of at most {evaluations}"
        found = judged(candidate.model, quantised, evaluated_on, _named(context, what))
        points.append(_point(nodes, prices.whole(nodes, tried.plan), in_int8(tried.plan, weighing.shares), found))
        done()
        return points[-1]

    with under_way(context.track, "search", total=evaluations) as done:
        walked = walk(evaluated, evaluated_on.budget, steps, price, evaluations=evaluations)
    explained = _explained(candidate, walked, evaluated_on.budget)
    seen = judged_outputs(candidate.model.recipe, signature(candidate.prepared.model)[1])
    return Found(explained, walked, evaluated_on, evaluations, prices.unit, context.runtime, seen)


def _point(nodes: Nodes, cost: float, int8_share: float, found: JudgedLoss) -> Point:
    return Point(nodes, cost, int8_share, found.drop, found.class_drops, found.agreement, found.sqnr_db)


def confirmed(found: Found, made: QuantizedModel, context: Context, taken: FoldedInput | None = None) -> Found:
    """The result with one more evaluation: of the written model, which format or placement may have changed.

    taken: how the written model takes images, where preprocessing or argmax is folded into it.
    """
    first = found.evaluated_on.images.load(0).feeds(found.candidate.model.input.name)
    shares = work_shares(found.candidate.prepared, first)
    best, named = found.walk.best, _named(context, "evaluating what is written")
    seen = judged(found.candidate.model, made.model, found.evaluated_on, named, taken)
    written = _point(best.float_nodes, best.cost, in_int8(made.plan, shares), seen)
    return replace(found, written=written, limit=found.limit + 1)


def _named(context: Context, name: str) -> Context:
    """The context with another label for its progress bars."""

    def named(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        return context.track(items, total=total, what=name)

    return replace(context, track=named)


def _explained(candidate: Candidate, walked: Walk, budget: Budget) -> Candidate:
    """The candidate with the best point's float nodes; the reason names the loss of the model all in int8."""
    loss = budget.tightest(walked.points[0])
    reason = f"the search left it float: with all in int8 the masks lose {loss.points:.2f} points of {loss.what}"
    return candidate.left_float(walked.best.float_nodes, reason)
