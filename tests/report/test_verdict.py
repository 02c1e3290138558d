"""The verdict in words: what it says of a judgement, what to do next, and how sizes and speeds are worded."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.evaluation.agreement import ImageResult
from quantseg.evaluation.judgement import JudgedClass, LostClass, MaskJudgement
from quantseg.evaluation.levels import KEEPS, LOSES, LOSES_SOME, UNKNOWN
from quantseg.report import tables
from quantseg.report.verdict import SYMBOLS, TITLES, Made, headlines, next_steps, unjudged, worded
from tests.support.sample_report import bare_report, report

GOOD = MaskJudgement(
    level=KEEPS,
    images=24,
    seen=0,
    agreement=0.99,
    worst_class=JudgedClass("pole", 0.9, 0.01),
    worst_image=ImageResult("7.png", 0.95, 0.004),
    points_lost=None,
    most_lost=None,
    float_iou=None,
    classes=3,
    absent=(),
    only=None,
    gone=(),
    levels={"agreement": KEEPS, "worst_class": KEEPS, "worst_image": KEEPS},
)
BAD = replace(
    GOOD,
    level=LOSES,
    agreement=0.6,
    points_lost=27.7,
    most_lost=LostClass("pole", 40.0),
    float_iou=0.7,
    gone=("pole",),
    levels={"agreement": LOSES, "worst_class": LOSES, "worst_image": LOSES_SOME, "most_lost": LOSES},
)
MADE = Made("m.onnx", "balanced", "int8", True, 24, None)


def commands(judged: MaskJudgement, made: Made) -> list[str]:
    return [step.command for step in next_steps(judged, made)]


def test_masks_that_are_kept_need_nothing_more() -> None:
    shown = worded(GOOD, MADE)
    assert (shown.title, shown.steps, shown.caveats) == ("Keeps the masks", (), ())
    assert shown.sentence == "The int8 masks agree with the float model's to 99.0 % (mean IoU, 24 images)."
    assert [text for _, text in shown.facts] == [
        "Worst class: pole, IoU 90.0 % with float, on 1.0 % of the pixels.",
        "Worst image: 7.png, agreement 95.0 %, 0.4 % of its pixels changed.",
    ]


@pytest.mark.parametrize(
    ("agreement", "level", "words"),
    [
        (0.94996, LOSES_SOME, "to 94.99 % (mean IoU, 24 images); 95.0 % or more would keep them."),
        (0.9446, LOSES_SOME, "to 94.5 % (mean IoU, 24 images); 95.0 % or more would keep them."),
        (0.95, KEEPS, "to 95.0 % (mean IoU, 24 images)."),
    ],
)
def test_an_agreement_below_the_bound_is_never_shown_as_the_bound(agreement: float, level: str, words: str) -> None:
    judged = replace(GOOD, agreement=agreement, level=level, levels={**GOOD.levels, "agreement": level})
    assert worded(judged, MADE).sentence.endswith(words)


def test_lost_masks_are_said_first_with_what_was_lost() -> None:
    shown = worded(BAD, MADE)
    assert (shown.title, shown.symbol) == ("Loses the masks", "✗")
    assert "60.0 %" in shown.sentence
    assert "27.7 points of mIoU are lost" in shown.sentence
    assert shown.facts[0] == (LOSES, "In no int8 mask at all: pole.")
    assert (LOSES_SOME, "Worst image: 7.png, agreement 95.0 %, 0.4 % of its pixels changed.") in shown.facts
    assert shown.facts[-1] == (LOSES, "Most lost against the labels: pole, 40.0 points of IoU.")


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (0.04, "mIoU is the same within 0.1 points"),
        (-0.04, "mIoU is the same within 0.1 points"),
        (0.2, "0.2 points of mIoU are lost"),
        (-1, "1.0 points of mIoU are gained"),
    ],
)
def test_a_gain_is_called_a_gain(lost: float, words: str) -> None:
    assert worded(replace(GOOD, points_lost=lost), MADE).sentence.endswith(f"{words}.")


@pytest.mark.parametrize(
    ("made", "first"),
    [
        (replace(MADE, effort="fast"), "--effort balanced"),
        (replace(MADE, weight="int4"), "--weight-type int8"),
        (replace(MADE, per_channel=False), "without --per-tensor"),
        (replace(MADE, clips="entropy"), "--calibrator minmax"),
        (replace(MADE, images=1), "--calib DIR"),
        (MADE, "--effort best"),
        (replace(MADE, effort="best"), "quantseg sensitivity m.onnx --data val/"),
    ],
)
def test_the_first_thing_to_do_is_what_was_left_undone(made: Made, first: str) -> None:
    assert commands(BAD, made)[0] == first
    assert commands(GOOD, made) == []


def test_steps_are_few() -> None:
    worst = Made("m.onnx", "fast", "int4", False, 1, "entropy")
    assert len(commands(replace(BAD, seen=24), worst)) == 4


def test_strange_float_masks_point_to_the_preprocessing() -> None:
    only = replace(GOOD, level=UNKNOWN, only="road")
    shown = worded(only, MADE)
    assert "gives 'road' on every pixel of all 24 images" in shown.sentence
    assert (shown.title, shown.facts) == ("Not judged", ())
    assert "preprocessing" in shown.steps[0].reason
    poor = replace(BAD, float_iou=0.1)
    assert "the float model itself reaches only 10.0 %" in next_steps(poor, MADE)[0].reason


@pytest.mark.parametrize("seen", [1, 24])
def test_images_of_calibration_are_told_with_what_to_do(seen: int) -> None:
    shown = worded(replace(GOOD, seen=seen), MADE)
    assert shown.caveats[0].startswith(f"{seen} of 24 judged images were seen in calibration: ")
    assert shown.steps[-1].command == "quantseg report m.onnx --data val/ --calib calib/"


def test_few_images_are_told() -> None:
    assert worded(replace(GOOD, images=3), MADE).caveats == ("Judged on 3 images only.",)


def test_classes_of_which_nothing_is_known_are_told() -> None:
    (caveat,) = worded(replace(GOOD, classes=30, absent=tuple(f"c{k}" for k in range(9))), MADE).caveats
    assert caveat.startswith("9 of 30 classes are in no mask")
    assert caveat.endswith("c0, c1, c2, c3, c4, c5 and 3 more.")


def test_a_name_of_a_file_is_quoted_for_the_shell() -> None:
    assert commands(BAD, Made("my model.onnx", "best"))[0] == "quantseg sensitivity 'my model.onnx' --data val/"


def test_what_was_not_judged_says_why() -> None:
    shown = unjudged("A calibration file has no images.", "quantseg evaluate", "judges them")
    assert (shown.level, shown.title, len(shown.steps)) == (UNKNOWN, "Not judged", 1)
    assert unjudged("why").steps == ()


def test_every_level_has_a_title_and_a_symbol_of_its_own() -> None:
    for table in (TITLES, SYMBOLS):
        assert len(set(table.values())) == len(table) == 4


# Sizes and speeds


@given(st.floats(1e-3, 1e3))
def test_nothing_is_less_than_one_time_smaller(times: float) -> None:
    for words in (tables.size_words(times), tables.smaller(times)):
        assert all(float(number) >= 1 for number in re.findall(r"\d+\.\d+", words))
    assert (tables.size_words(times).endswith("smaller")) == (
        round(times, 1) > 1 and tables.size_words(times)[0] != "a"
    )


@pytest.mark.parametrize(
    ("times", "words", "cell"),
    [
        (0.4, "2.5 times larger", "2.50x larger"),
        (4.0, "4.0 times smaller", "4.00x"),
        (1.01, "about as large", "1.01x"),
        (0.99, "about as large", "1.01x larger"),
    ],
)
def test_a_larger_file_is_called_larger(times: float, words: str, cell: str) -> None:
    assert (tables.size_words(times), tables.smaller(times)) == (words, cell)


def test_headlines_call_larger_and_slower_by_their_names() -> None:
    small, slow = report(), bare_report()
    assert [(h.value, h.label, h.level) for h in headlines(small)][:2] == [
        ("4.00x", "smaller", None),
        ("2.50x", "faster", None),
    ]
    larger = replace(slow, int8_model=replace(slow.int8_model, size=10_000_000))
    assert (headlines(larger)[0].value, headlines(larger)[0].label, headlines(larger)[0].level) == (
        "2.50x",
        "larger",
        LOSES_SOME,
    )
    late = replace(small, latency=tuple(replace(t, median_ms=125.0) if t.name == "int8" else t for t in small.latency))
    assert (headlines(late)[1].value, headlines(late)[1].label, headlines(late)[1].level) == (
        "2.50x",
        "slower",
        LOSES_SOME,
    )


def test_a_loss_that_only_labels_show_is_no_loss_of_the_masks() -> None:
    levels = {
        "agreement": KEEPS,
        "worst_class": KEEPS,
        "worst_image": LOSES_SOME,
        "points_lost": LOSES,
        "most_lost": LOSES_SOME,
    }
    shown = worded(replace(BAD, agreement=0.965, gone=(), points_lost=2.2, levels=levels), MADE)
    assert (shown.title, shown.symbol, shown.level) == ("Loses accuracy", "✗", LOSES)
    assert "2.2 points of mIoU are lost, more than the 0.5 that pass." in shown.sentence
    assert worded(replace(BAD, levels=levels | {"worst_class": LOSES}), MADE).title == "Loses the masks"


def test_flags_say_where_they_belong() -> None:
    texts = [str(step) for step in worded(BAD, replace(MADE, effort="fast", per_channel=False)).steps]
    assert "quantise again with --effort balanced: this one is made at effort fast" in texts[0]
    assert texts[1].startswith("quantise again without --per-tensor: ")


def test_a_model_that_is_slower_than_float_is_told_what_to_do() -> None:
    slow = worded(GOOD, MADE, 0.8)
    assert slow.level == KEEPS
    assert slow.caveats == ("It is 1.2 times slower than float here.",)
    assert [step.command for step in slow.steps] == ["--target ort-cpu"]
    assert worded(GOOD, MADE, 0.97) == worded(GOOD, MADE, 2.0) == worded(GOOD, MADE)
