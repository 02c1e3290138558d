"""The judgement of instances: its bounds, what a single instance decides, and that labels know better."""

from dataclasses import replace
from typing import Any

import pytest

from quantseg.evaluation.agreement import Evaluation
from quantseg.evaluation.instance_judgement import FEW, class_kept_level, gained_level, kept_level
from quantseg.evaluation.instances import ImageInstances, InstanceEvaluation
from quantseg.evaluation.judgement import judge
from quantseg.evaluation.levels import KEEPS, LOSES, LOSES_SOME, UNKNOWN
from quantseg.evaluation.metrics.instances.counts import MatchCounts
from quantseg.evaluation.metrics.scores import Scores
from quantseg.report.tables import WIDTH
from quantseg.report.verdict import Made, worded
from tests.evaluation.test_judgement import NAMES, evaluation


def counts(reference: int, lost: int = 0, gained: int = 0, iou: float = 0.95) -> MatchCounts:
    kept = reference - lost
    return MatchCounts(reference, kept + gained, (iou,) * kept)


def instances(*per_class: MatchCounts, ap: tuple[float, float] | None = None, **changes: Any) -> Evaluation:
    """An evaluation of so many classes. ap: of the float and the int8 model against the labels."""
    count = len(per_class)
    plain = evaluation(*[0.2] * count, classes=NAMES[:count], class_shares=(), **changes)
    found = InstanceEvaluation(per_class, (ImageInstances("a.png", per_class),))
    scores = [None if ap is None else Scores({"mean_iou": 0.5, "ap": value}, {}) for value in ap or (0, 0)]
    return replace(plain, instances=found, float_scores=scores[0], int8_scores=scores[1])


LOST = [(0, KEEPS), (20, KEEPS), (21, LOSES_SOME), (100, LOSES_SOME), (101, LOSES)]


@pytest.mark.parametrize(("lost", "level"), LOST)
def test_the_share_that_is_kept_has_two_bounds(lost: int, level: str) -> None:
    assert kept_level(counts(1000, lost)) == level
    assert judge(instances(counts(1000, lost), counts(10_000))).levels["kept"] == KEEPS


@pytest.mark.parametrize(("gained", "level"), [(0, KEEPS), (20, KEEPS), (30, LOSES_SOME), (200, LOSES)])
def test_gained_ones_count_too(gained: int, level: str) -> None:
    assert gained_level(counts(1000, gained=gained)) == level
    assert judge(instances(counts(1000, gained=gained))).level == level


def test_a_single_instance_does_not_lose_the_whole() -> None:
    assert kept_level(counts(4, 1)) == LOSES_SOME
    assert kept_level(counts(8, 2)) == LOSES
    assert gained_level(counts(4, 0, 1)) == LOSES_SOME


def test_a_class_of_few_instances_does_not_lose_the_whole() -> None:
    assert class_kept_level(0.5, FEW) == LOSES
    assert class_kept_level(0.5, FEW - 1) == LOSES_SOME
    found = judge(instances(counts(1000), counts(FEW - 1, 5)))
    assert found.level == LOSES_SOME
    assert found.instances is not None
    assert found.instances.worst_class is not None
    assert found.instances.worst_class.count == FEW - 1


def test_the_outline_is_judged_at_a_higher_iou() -> None:
    assert judge(instances(counts(1000, iou=0.8))).level == LOSES
    mixed = MatchCounts(100, 100, (0.95,) * 90 + (0.7,) * 10)
    levels = judge(instances(mixed)).levels
    assert {figure for figure, level in levels.items() if level != KEEPS} == {"closely"}
    assert levels["closely"] == LOSES_SOME


@pytest.mark.parametrize(("after", "level"), [(0.9, KEEPS), (0.9 - 0.0029, KEEPS), (0.89, LOSES_SOME), (0.87, LOSES)])
def test_points_of_ap_have_two_bounds(after: float, level: str) -> None:
    assert judge(instances(counts(1000), ap=(0.9, after))).levels["ap_lost"] == level


def test_labels_know_better_than_the_float_model() -> None:
    lost = counts(1000, 300)
    assert judge(instances(lost)).level == LOSES
    assert judge(instances(lost, ap=(0.5, 0.52))).level == LOSES_SOME
    assert judge(instances(lost, ap=(0.5, 0.4))).level == LOSES


def test_masks_are_not_judged_where_instances_are() -> None:
    found = judge(instances(counts(1000)))
    assert (found.level, found.agreement < 0.5) == (KEEPS, True)
    assert found.worst_class is found.worst_image is found.points_lost is None


def test_nothing_is_judged_where_float_finds_nothing() -> None:
    found = judge(instances(counts(0, gained=3)))
    assert (found.level, found.only) == (UNKNOWN, "")
    shown = worded(found, Made())
    assert shown.title == "Not judged"
    assert "finds no instance" in shown.sentence
    assert "preprocessing" in shown.steps[0].reason


def test_a_class_that_is_not_found_any_more_is_named() -> None:
    found = judge(instances(counts(100), counts(20, 20)))
    assert found.gone == NAMES[1:2]
    assert any(text == f"Not found at all by the int8 model: {NAMES[1]}." for _, text in worded(found, Made()).facts)


def test_the_verdict_speaks_of_instances() -> None:
    shown = worded(judge(instances(counts(1000, 30, 12), ap=(0.9, 0.86))), Made())
    assert shown.title == "Loses accuracy"
    assert shown.sentence == (
        "The int8 model finds 97.0 % of the float model's 1000 instances (mask IoU 0.5 or more, 20 images), 97.0 % "
        "with nearly the same outline (IoU 0.9); 98.0 % or more would keep them; against the labels 4.0 points of mask "
        "AP are lost, more than the 0.3 that pass."
    )
    assert [text for _, text in shown.facts] == [
        "Gained: 12 of its 982 instances have no partner in the float model's.",
        "Worst class: road, 97.0 % of 1000 instances kept.",
        "Worst image: a.png, 30 lost, 12 gained.",
    ]
    assert worded(judge(instances(counts(1000))), Made()).title == "Keeps the instances"
    assert worded(judge(instances(counts(1000, 500))), Made()).title == "Loses the instances"
    assert len(shown.title) < WIDTH


def test_a_share_just_below_the_bound_does_not_look_like_it() -> None:
    text = worded(judge(instances(counts(10_000, 204))), Made()).sentence
    assert "finds 97.96 % of" in text


def test_json_of_masks_has_no_word_of_instances() -> None:
    assert "instances" not in judge(evaluation(0.9, 0.9, 0.9)).to_json()
    assert judge(instances(counts(10))).to_json()["instances"]["kept"] == 1
