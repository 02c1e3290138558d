"""The judgement of an int8 model, on evaluations whose figures are chosen."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.data.heads import JudgedOutputs
from quantseg.evaluation.agreement import Evaluation, ImageResult
from quantseg.evaluation.judgement import AGREEMENT, CLASS_POINTS, FEW_CHANGED, POINTS, RARE, judge
from quantseg.evaluation.levels import KEEPS, LEVELS, LOSES, LOSES_SOME, UNKNOWN
from quantseg.evaluation.metrics.scores import Scores, tally

NAMES = ("road", "sky", "pole")
SHARES = ((0.6, 0.6), (0.39, 0.39), (0.01, 0.01))


def scores(*iou: float | None) -> Scores:
    """Scores with these IoU of the classes; a class without one occurs nowhere."""
    kept = [value for value in iou if value is not None]
    seen = tuple(None if value is None else 1.0 for value in iou)
    per_class = {"iou": iou, "dice": iou, "recall": seen, "precision": seen}
    return Scores({"mean_iou": sum(kept) / len(kept)}, per_class)  # type: ignore[arg-type]


def evaluation(*iou: float | None, **changes: Any) -> Evaluation:
    """An evaluation whose int8 masks have these IoU with the float masks."""
    content: dict[str, Any] = {
        "images": 20,
        "classes": NAMES,
        "float_scores": None,
        "int8_scores": None,
        "between": scores(*iou),
        "pixel_agreement": 0.9,
        "sqnr_db": 20.0,
        "identical": False,
        "per_image": (ImageResult("a.png", 0.99, 0.01), ImageResult("b.png", 0.9, 0.02)),
        "judged": JudgedOutputs(("y",), ()),
        "class_shares": SHARES,
    }
    return Evaluation(**content | changes)


def labelled(before: tuple[float | None, ...], after: tuple[float | None, ...], *iou: float, **changes: Any) -> Any:
    return evaluation(*iou, float_scores=scores(*before), int8_scores=scores(*after), **changes)


@pytest.mark.parametrize(
    ("iou", "level"),
    [
        ((1.0, 1.0, 1.0), KEEPS),
        ((0.99, 0.98, 0.88), KEEPS),
        ((0.97, 0.96, 0.79), LOSES_SOME),
        ((0.90, 0.90, 0.90), LOSES_SOME),
        ((0.99, 0.99, 0.49), LOSES),
        ((0.80, 0.80, 0.80), LOSES),
        ((0.96, 0.96, None), KEEPS),
    ],
)
def test_the_level_is_that_of_the_worst_figure(iou: tuple[float | None, ...], level: str) -> None:
    assert judge(evaluation(*iou)).level == level


@pytest.mark.parametrize("bounds", [AGREEMENT, POINTS, CLASS_POINTS])
def test_a_figure_at_a_bound_is_within_it(bounds: Any) -> None:
    assert bounds.level(bounds.keeps) == KEEPS
    assert bounds.level(bounds.loses) == LOSES_SOME


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.floats(0, 1), st.integers(0, 2))
def test_masks_that_agree_less_are_never_judged_better(iou: list[float], factor: float, worse: int) -> None:
    fallen = [value * factor if k == worse else value for k, value in enumerate(iou)]
    before, after = (LEVELS.index(judge(evaluation(*values)).level) for values in (iou, fallen))
    assert after >= before


@given(st.floats(-30, 30), st.floats(0, 30))
def test_a_greater_loss_is_never_judged_better(lost: float, more: float) -> None:
    levels = [POINTS.level(lost), POINTS.level(lost + more)]
    assert levels == sorted(levels, key=LEVELS.index)


def test_a_loss_against_the_labels_is_a_loss_whatever_the_agreement() -> None:
    found = judge(labelled((0.9, 0.9, 0.9), (0.7, 0.6, 0.569), 0.99, 0.99, 0.99))
    assert found.level == LOSES
    assert found.points_lost == pytest.approx(27.7)
    assert found.most_lost is not None
    assert (found.most_lost.name, round(found.most_lost.points, 1)) == ("pole", 33.1)


def test_changed_masks_that_the_labels_do_not_mind_are_not_lost() -> None:
    same = (0.6, 0.6, 0.6)
    assert judge(evaluation(0.7, 0.7, 0.7)).level == LOSES
    assert judge(labelled(same, same, 0.7, 0.7, 0.7)).level == LOSES_SOME


def test_a_class_of_a_handful_of_pixels_does_not_lose_the_masks() -> None:
    rare = ((0.6, 0.6), (0.4, 0.4), (RARE / 2, RARE / 3))
    shown = judge(evaluation(0.999, 0.999, 0.9, class_shares=rare))
    assert shown.level == KEEPS
    assert judge(evaluation(0.999, 0.999, 0.2, class_shares=rare)).levels["worst_class"] == LOSES_SOME
    assert judge(evaluation(0.999, 0.999, 0.2)).levels["worst_class"] == LOSES


def test_the_worst_class_is_one_that_counts_before_a_rare_one() -> None:
    rare = ((0.6, 0.6), (0.4, 0.4), (RARE / 2, RARE / 3))
    worst = judge(evaluation(0.999, 0.4, 0.1, class_shares=rare)).worst_class
    assert worst is not None
    assert (worst.name, worst.share) == ("sky", 0.4)


def test_an_image_in_which_few_pixels_changed_is_not_lost() -> None:
    few, many = (ImageResult("c.png", 0.3, changed) for changed in (FEW_CHANGED / 2, 2 * FEW_CHANGED))
    assert judge(evaluation(0.99, 0.99, 0.99, per_image=(few,))).level == LOSES_SOME
    found = judge(evaluation(0.99, 0.99, 0.99, per_image=(few, replace(many, name="d.png", agreement=0.2))))
    assert (found.level, found.worst_image and found.worst_image.name) == (LOSES, "d.png")


def test_one_class_on_every_pixel_tells_nothing() -> None:
    found = judge(evaluation(1.0, None, None, class_shares=((1.0, 1.0), (0.0, 0.0), (0.0, 0.0))))
    assert (found.level, found.only) == (UNKNOWN, "road")
    assert judge(evaluation(0.99, None, None, class_shares=((0.4, 0.4), (0.0, 0.0), (0.0, 0.0)))).only is None


def test_classes_that_the_int8_masks_lack_are_named() -> None:
    between = scores(0.99, 0.99, 0.0)
    missed = replace(between, per_class=dict(between.per_class) | {"precision": (1.0, 1.0, None)})
    found = judge(evaluation(1, 1, 1, between=missed))
    assert (found.gone, found.absent) == (("pole",), ())
    assert judge(evaluation(0.99, 0.99, None)).absent == ("pole",)


@pytest.mark.parametrize("labels", [False, True])
def test_a_judgement_of_real_scores(labels: bool) -> None:
    """The figures come from masks: shares are counted, and a class of one mask only has no IoU to be worst by."""
    rng = np.random.default_rng(0)
    real = rng.integers(0, 2, (1, 8, 8))
    between = Scores.of(tally(real, np.where(rng.random((1, 8, 8)) < 0.5, 1 - real, real), 3, None))
    given = {"float_scores": Scores.of(tally(real, real, 3, None)), "int8_scores": between} if labels else {}
    found = judge(evaluation(0, 0, 0, between=between, **given), seen=20)
    assert (found.level, found.seen, found.absent) == (LOSES, 20, ("pole",))
    assert (found.points_lost is not None) == labels
    assert set(found.to_json()["levels"]) >= {"agreement", "worst_class", "worst_image"}


def test_a_speck_that_an_image_loses_is_no_loss() -> None:
    """The smallest class covers 1 % of the pixels; in an image that has next to nothing of it, 50 pixels are gone."""
    speck, real = ImageResult("a.png", 0.5, 0.00009), ImageResult("b.png", 0.79, 0.0002)
    assert judge(evaluation(0.99, 0.99, 0.99, per_image=(speck,))).level == KEEPS
    both = judge(evaluation(0.99, 0.99, 0.99, per_image=(speck, real)))
    assert (both.level, both.worst_image) == (LOSES_SOME, real)
    lesions = ((0.9999, 0.9999), (0.0001, 0.0001), (0.0, 0.0))
    assert judge(evaluation(0.99, 0.99, None, per_image=(speck,), class_shares=lesions)).level == LOSES_SOME
    assert judge(evaluation(0.99, 0.99, 0.99, per_image=(speck,), class_shares=())).level == LOSES_SOME
