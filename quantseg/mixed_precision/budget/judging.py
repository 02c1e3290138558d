"""A point of the search: a real model, judged on real images against the labels or the float model's masks."""

import math
from contextlib import closing
from dataclasses import dataclass

import onnx_ir as ir

from quantseg import graph
from quantseg.data import Dataset
from quantseg.data.recipe import Recipe
from quantseg.errors import DataError
from quantseg.evaluation.agreement import Evaluation, evaluate
from quantseg.mixed_precision.budget.budget import Budget
from quantseg.mixed_precision.budget.points import Point
from quantseg.mixed_precision.budget.walk import Nodes
from quantseg.progress import Track
from quantseg.runtimes import RUNTIMES, Session

RUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Judge:
    """What points are judged on. labelled: against the masks beside the images, else against the float model's."""

    images: Dataset
    budget: Budget
    labelled: bool


def judged(
    reference: Session,
    quantised: ir.Model,
    judge: Judge,
    recipe: Recipe,
    *,
    nodes: Nodes,
    cost: float,
    int8_share: float,
    threads: int,
    track: Track,
) -> Point:
    """The point of a quantised model. reference: the float model. nodes, cost, int8_share: as in Point.

    Raises DataError where there is no label that counts, or none of a class that has a budget.
    """
    with (
        graph.as_session_source(quantised) as source,
        closing(RUNTIMES[RUNTIME].open(source, threads=threads, spinning=False)) as candidate,
    ):
        evaluation = evaluate(reference, candidate, judge.images, recipe, track=track)
    drop, drops = _lost(evaluation, labelled=judge.labelled)
    if missing := [name for name in judge.budget.classes if name not in drops]:
        raise DataError(
            f"class {missing[0]!r} is in none of the {evaluation.images} judged masks, so its budget says nothing; "
            "give images that hold it or leave the budget out"
        )
    sqnr_db = evaluation.sqnr_db if math.isfinite(evaluation.sqnr_db or math.inf) else None
    return Point(nodes, cost, int8_share, drop, drops, evaluation.agreement, sqnr_db)


def _lost(evaluation: Evaluation, *, labelled: bool) -> tuple[float, dict[str, float]]:
    """Points of mIoU, and of the IoU of each class that the labels (or the float masks) hold."""
    if not labelled:
        held = evaluation.between.per_class["recall"]
        ious = evaluation.between.per_class["iou"]
        drops = {
            name: 100 * (1 - iou)
            for name, iou, truth in zip(evaluation.classes, ious, held, strict=True)
            if truth is not None and iou is not None
        }
        return 100 * (1 - evaluation.agreement), drops
    before, after = evaluation.float_scores, evaluation.int8_scores
    assert before is not None
    assert after is not None
    held = after.per_class["recall"]
    if not any(truth is not None for truth in held):
        raise DataError("no pixel of the masks counts, all have the recipe's ignore_index; give masks with classes")
    assert before.mean_iou is not None
    assert after.mean_iou is not None
    pairs = zip(evaluation.classes, before.per_class["iou"], after.per_class["iou"], held, strict=True)
    drops = {
        name: 100 * (old - new)
        for name, old, new, truth in pairs
        if truth is not None and old is not None and new is not None
    }
    return 100 * (before.mean_iou - after.mean_iou), drops
