"""Evaluates a model of the search on real images, against the labels or the float model's masks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data import Dataset
from quantseg.errors import DataError
from quantseg.evaluation.agreement import Evaluation, Pair, evaluate_pair
from quantseg.evaluation.predictions import FoldedInput
from quantseg.mixed_precision.budget.budget import Budget
from quantseg.quantization.float_model import FloatModel


@dataclass(frozen=True)
class EvaluationImages:
    """The evaluation images. labelled: losses are against the label masks beside them, else the float model's masks."""

    images: Dataset
    budget: Budget
    labelled: bool


@dataclass(frozen=True)
class JudgedLoss:
    """How much the masks of one model lose; the fields are those of `Point`."""

    drop: float
    class_drops: Mapping[str, float]
    agreement: float
    sqnr_db: float | None


def judged(
    model: FloatModel, quantised: ir.Model, judge: EvaluationImages, context: Context, taken: FoldedInput | None = None
) -> JudgedLoss:
    """Evaluates a quantised form of the float model.

    taken: how the quantised model takes images, where preprocessing or argmax is folded into it. Raises DataError where
    no labelled pixel counts, or none is of a class that has a budget.
    """
    with graph.as_session_source(quantised) as source:
        pair = Pair(model.source, source, (context.runtime, context.runtime), context.threads, taken)
        evaluation = evaluate_pair(pair, judge.images, model.recipe, context)
    drop, drops = _lost(evaluation, labelled=judge.labelled)
    if missing := [name for name in judge.budget.classes if name not in drops]:
        raise DataError(
            f"class {missing[0]!r} is in none of the {evaluation.images} judged masks, so its budget says nothing; "
            "give images that hold it or leave the budget out"
        )
    sqnr_db = evaluation.sqnr_db if math.isfinite(evaluation.sqnr_db or math.inf) else None
    return JudgedLoss(drop, drops, evaluation.agreement, sqnr_db)


def _lost(evaluation: Evaluation, *, labelled: bool) -> tuple[float, dict[str, float]]:
    """Points of mIoU lost, and points of IoU for each class that occurs in the labels (or the float masks)."""
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
