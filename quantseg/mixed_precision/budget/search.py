"""The search on a real model: what its nodes harm and cost, points judged on images, the cheapest within the budget."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar

from quantseg.data import Dataset
from quantseg.data.heads import Judged, judged_outputs
from quantseg.errors import DataError
from quantseg.evaluation.agreement import evaluate
from quantseg.evaluation.reference_models import Subset
from quantseg.graph.preparation import Prepared
from quantseg.mixed_precision.budget import Budget, Nodes, Point, Walk, candidates, front, moves, ordered, walk
from quantseg.mixed_precision.budget.judging import RUNTIME, Judge, judged
from quantseg.mixed_precision.budget.weighing import Costs, Subject, in_int8
from quantseg.mixed_precision.target import Made
from quantseg.pipeline import FloatModel
from quantseg.progress import Track, quiet
from quantseg.quantization import formats
from quantseg.quantization.plan import plan
from quantseg.runtimes import RUNTIMES

T = TypeVar("T")

IMAGES = 32
"""How many images are calibrated on, and how many are judged, where no number is given."""


@dataclass(frozen=True)
class Found:
    """The end of a search. prepared: the model with the chosen nodes kept float, and why. limit: of evaluations.

    judged: which outputs of the model are compared. written: what was judged of the model as it is written, where that
    is another one than the walk's best.
    """

    prepared: Prepared
    walk: Walk
    judge: Judge
    limit: int
    unit: str
    judged: Judged
    written: Point | None = None

    @property
    def result(self) -> Point:
        """What is known of the model that is written."""
        return self.written or self.walk.best

    @property
    def is_met(self) -> bool:
        """Whether that is within the budget."""
        return self.judge.budget.holds(self.result)

    @property
    def evaluations(self) -> int:
        """How many were made."""
        return len(self.walk.points) + (self.written is not None)

    @property
    def front(self) -> tuple[Point, ...]:
        """The points that no other dominates, the cheapest first."""
        return front(self.walk.points, self.judge.budget.classes)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        images = len(self.judge.images.names)
        return {
            "budget": self.judge.budget.to_json(),
            "output": self.judged.to_json(),
            "judged_against": "labels" if self.judge.labelled else "float masks",
            "is_met": self.is_met,
            "evaluations": {"made": self.evaluations, "at_most": self.limit, "images": images},
            "cost": self.unit,
            "precisions": [precision.name for precision in candidates(RUNTIME)],
            "chosen": self.walk.best.to_json(),
            **({} if self.written is None else {"written": self.written.to_json()}),
            "points": [point.to_json() | {"is_pareto": point in self.front} for point in self.walk.points],
        }


def halves(images: Dataset) -> tuple[Subset, Subset]:
    """Images to calibrate on and images to judge on, none in both: of the sorted names every other one.

    Raises DataError for a single image.
    """
    if len(images.names) < 2:
        raise DataError(
            "one image cannot be calibrated on and be judged as well; give more, or others with --calib to calibrate on"
        )
    every = range(len(images.names))
    return Subset(images, tuple(every[::2])), Subset(images, tuple(every[1::2]))


def rehearse(model: FloatModel, images: Dataset, *, labelled: bool, threads: int) -> tuple[tuple[str, ...], float]:
    """The names of the model's classes, and about how many seconds one image takes in an evaluation.

    Raises DataError where labels are asked for and there are none, or they do not fit.
    """
    with closing(RUNTIMES[RUNTIME].open(model.path, threads=threads, spinning=False)) as reference:
        first = Subset(images, (0,))
        seconds = []
        for _ in range(2):  # the first run of a session takes longer
            start = time.perf_counter()
            seen = evaluate(reference, reference, first, model.recipe)
            seconds.append(time.perf_counter() - start)
    if labelled and seen.float_scores is None:
        raise DataError("no masks beside the images, so there are no labels; leave --labels out or add a masks/ folder")
    return seen.classes, seconds[-1]


def search(
    subject: Subject,
    judge: Judge,
    prices: Costs,
    shares: Mapping[str, float],
    harm: Callable[[], Mapping[str, float]],
    *,
    evaluations: int,
    threads: int,
    track: Track = quiet,
) -> Found:
    """The cheapest model within the budget, in at most so many evaluations of all judged images.

    shares: node → its share of the multiply-accumulates. harm: node → the noise that its rounding makes; asked for only
    where all in int8 is over the budget. Models are judged in QDQ. Raises DataError where the labels or the budget do
    not fit the images, PlanError and CalibrationError as `plan` does.
    """
    model, ranges, settings = subject.model, subject.table.ranges, subject.settings
    every = plan(model.prepared, ranges, settings)
    points: list[Point] = []

    def steps() -> list[Nodes]:
        return [move.nodes for move in ordered(moves(model.prepared.model, every, harm()), prices.nodes)]

    def price(nodes: Nodes) -> float:
        return math.fsum(prices.nodes.get(node, 0.0) for node in nodes)

    with closing(RUNTIMES[RUNTIME].open(model.path, threads=threads, spinning=False)) as reference:

        def evaluated(nodes: Nodes) -> Point:
            prepared = _left_float(model.prepared, nodes, "the search tries it in float")
            decided = plan(prepared, ranges, settings)
            quantised = formats.emit(prepared.model, decided, qformat="qdq", metadata={})
            what = f"evaluation {len(points) + 1} of at most {evaluations}"
            point = judged(
                reference,
                quantised,
                judge,
                model.recipe,
                nodes=nodes,
                cost=prices.whole(nodes, decided),
                int8_share=in_int8(decided, shares),
                threads=threads,
                track=_named(track, what),
            )
            points.append(point)
            return point

        seen = judged_outputs(model.recipe, reference.outputs)
        walked = walk(evaluated, judge.budget, steps, price, evaluations=evaluations)
    return Found(_explained(model.prepared, walked, judge.budget), walked, judge, evaluations, prices.unit, seen)


def confirmed(
    found: Found, subject: Subject, made: Made, shares: Mapping[str, float], *, threads: int, track: Track = quiet
) -> Found:
    """The same, with one evaluation more: of the model as it is written, which another format or placement changes."""
    best = found.walk.best
    with closing(RUNTIMES[RUNTIME].open(subject.model.path, threads=threads, spinning=False)) as reference:
        written = judged(
            reference,
            made.model,
            found.judge,
            subject.model.recipe,
            nodes=best.float_nodes,
            cost=best.cost,
            int8_share=in_int8(made.plan, shares),
            threads=threads,
            track=_named(track, "evaluating what is written"),
        )
    return replace(found, written=written, limit=found.limit + 1)


def _named(track: Track, name: str) -> Track:
    """The same progress, under another name."""

    def named(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        return track(items, total=total, what=name)

    return named


def _left_float(prepared: Prepared, nodes: Nodes, reason: str) -> Prepared:
    return replace(prepared, kept_float={**prepared.kept_float, **dict.fromkeys(sorted(nodes), reason)})


def _explained(prepared: Prepared, walked: Walk, budget: Budget) -> Prepared:
    """The model with the best point's nodes kept float, with the loss that they were taken out of int8 for."""
    loss = budget.tightest(walked.points[0])
    reason = f"the search left it float: with all in int8 the masks lose {loss.points:.2f} points of {loss.what}"
    return _left_float(prepared, walked.best.float_nodes, reason)
