import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFilter

from quantseg.errors import DataError
from quantseg.evaluation.metrics import METRICS
from quantseg.evaluation.metrics.boundary import border
from quantseg.evaluation.metrics.confusion import ConfusionMatrix
from quantseg.evaluation.metrics.overlap import Overlap
from quantseg.evaluation.metrics.scores import Scores, added, tally
from quantseg.evaluation.metrics.sqnr import Sqnr

CLASSES = 4
MASKS = arrays(np.int64, (7, 9), elements=st.integers(0, CLASSES - 1))
CHANNELS = arrays(np.bool_, (3, 7, 9))
PAIRS = st.one_of(st.tuples(MASKS, MASKS), st.tuples(CHANNELS, CHANNELS))
close = pytest.approx


def figures(metric_tally):
    return dict(metric_tally.summary()), dict(metric_tally.per_class())


def measure(name, pair, ignore_index=None):
    truth, prediction = pair
    return METRICS[name](truth, prediction, CLASSES if truth.ndim == 2 else len(truth), ignore_index)


# Laws of every metric


@pytest.mark.parametrize("name", METRICS)
@given(PAIRS)
def test_every_figure_lies_between_0_and_1(name, pair):
    summary, per_class = figures(measure(name, pair))
    values = [*summary.values(), *(value for values in per_class.values() for value in values)]
    assert all(value is None or 0 <= value <= 1 for value in values)


@pytest.mark.parametrize("name", METRICS)
@given(PAIRS)
def test_a_perfect_prediction_scores_1(name, pair):
    summary, per_class = figures(measure(name, (pair[0], pair[0])))
    assert set(summary.values()) | {v for values in per_class.values() for v in values} <= {1.0, None}


@pytest.mark.parametrize("name", METRICS)
@given(PAIRS, st.data())
def test_tallies_add_in_any_order(name, pair, data):
    kind = MASKS if pair[0].ndim == 2 else CHANNELS
    others = [(data.draw(kind), data.draw(kind)) for _ in range(2)]
    a, b, c = (measure(name, each) for each in (pair, *others))
    assert figures(a + b + c) == figures(c + (b + a))


@given(MASKS, MASKS, arrays(np.int64, (7, 9), elements=st.integers(-9, 99)))
def test_pixels_with_the_ignore_index_never_count(truth, prediction, other):
    ignored = np.where(truth == 0, 7, truth)
    there = np.where(ignored == 7, other, prediction)
    assert figures(measure("region", (ignored, there), 7)) == figures(measure("region", (ignored, prediction), 7))


@given(MASKS, MASKS)
def test_ignored_pixels_of_a_border_never_count(truth, prediction):
    """In an image of one or two pixels across, all is border: there boundary and region must say the same."""
    truth, prediction = np.where(truth == 0, 7, truth)[:2], prediction[:2]
    iou = measure("region", (truth, prediction), 7).per_class()["iou"]
    assert measure("boundary", (truth, prediction), 7).per_class()["boundary_iou"] == iou


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("wrong", [-1, CLASSES, 255])
@pytest.mark.parametrize("place", [0, 1])
def test_an_id_out_of_range_is_one_clear_line(name, wrong, place):
    pair = [np.zeros((4, 4), np.int64), np.zeros((4, 4), np.int64)]
    pair[place][1, 2] = wrong
    with pytest.raises(DataError, match=f"class id {wrong} in the (label|predicted) mask is outside 0…3") as caught:
        measure(name, pair)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4)])
def test_masks_of_different_shape_are_refused(name, shape):
    kind = np.int64 if len(shape) == 2 else np.bool_
    with pytest.raises(DataError, match="must be equal"):
        measure(name, (np.zeros(shape, kind), np.zeros((*shape[:-1], 5), kind)))


# Overlap and confusion matrix


@given(PAIRS)
def test_dice_and_iou_rank_alike(pair):
    classes = measure("region", pair).per_class()
    for iou, dice in zip(classes["iou"], classes["dice"], strict=True):
        assert (iou is None) == (dice is None)
        if iou is not None:
            assert dice == close(2 * iou / (1 + iou))
            assert dice / 2 <= iou <= dice


@given(PAIRS)
def test_precision_and_recall_swap_with_the_masks(pair):
    forth, back = measure("region", pair).per_class(), measure("region", pair[::-1]).per_class()
    assert (forth["precision"], forth["recall"]) == (back["recall"], back["precision"])


@given(MASKS, MASKS, MASKS, MASKS)
def test_merging_is_counting_the_concatenation(a, b, c, d):
    merged = ConfusionMatrix.from_masks(a, b, CLASSES) + ConfusionMatrix.from_masks(c, d, CLASSES)
    whole = ConfusionMatrix.from_masks(np.concatenate([a, c]), np.concatenate([b, d]), CLASSES)
    assert np.array_equal(merged.counts, whole.counts)


@given(MASKS, MASKS, st.permutations(range(63)))
def test_the_order_of_pixels_does_not_matter(truth, prediction, order):
    shuffled = (mask.ravel()[list(order)].reshape(mask.shape) for mask in (truth, prediction))
    assert np.array_equal(
        ConfusionMatrix.from_masks(*shuffled, CLASSES).counts,
        ConfusionMatrix.from_masks(truth, prediction, CLASSES).counts,
    )


@given(MASKS, MASKS, st.permutations(range(CLASSES)))
def test_renaming_the_classes_renames_the_scores(truth, prediction, order):
    names = np.array(order)
    before = ConfusionMatrix.from_masks(truth, prediction, CLASSES)
    after = ConfusionMatrix.from_masks(names[truth], names[prediction], CLASSES)
    assert [after.iou()[names[k]] for k in range(CLASSES)] == list(before.iou())
    assert after.mean_iou() == close(before.mean_iou())


@given(MASKS, MASKS)
def test_the_empty_tally_changes_nothing(truth, prediction):
    matrix = ConfusionMatrix.from_masks(truth, prediction, CLASSES)
    assert np.array_equal((ConfusionMatrix.empty() + matrix).counts, matrix.counts)
    overlap = matrix.overlap() + Overlap.empty()
    assert overlap.iou() == matrix.iou()


def test_figures_worked_out_by_hand():
    truth = np.array([[0, 0, 0, 1], [1, 1, 3, 3]])
    prediction = np.array([[0, 0, 1, 1], [1, 0, 3, 3]])
    matrix = ConfusionMatrix.from_masks(truth, prediction, 5)
    assert matrix.iou() == (2 / 4, 2 / 4, None, 1.0, None)
    assert matrix.dice() == (4 / 6, 4 / 6, None, 1.0, None)
    assert matrix.precision() == matrix.recall() == (2 / 3, 2 / 3, None, 1.0, None)
    assert matrix.mean_iou() == close((0.5 + 0.5 + 1) / 3)
    assert matrix.pixel_accuracy() == 6 / 8
    assert matrix.frequency_weighted_iou() == close((3 * 0.5 + 3 * 0.5 + 2 * 1) / 8)


def test_nothing_counted_is_none_not_nan():
    matrix = ConfusionMatrix.from_masks(np.full((2, 2), 9), np.zeros((2, 2), int), 3, ignore_index=9)
    assert set(matrix.summary().values()) == {None}


def test_a_class_that_one_mask_lacks_has_no_precision_but_an_iou_of_0():
    matrix = ConfusionMatrix.from_masks(np.array([[0, 1]]), np.array([[0, 0]]), 2)
    assert (matrix.iou()[1], matrix.precision()[1], matrix.recall()[1]) == (0.0, None, 0.0)
    assert matrix.mean_iou() == (1 / 2 + 0) / 2


def test_overlapping_channels_are_counted_one_by_one():
    truth = np.array([[[1, 1, 0]], [[1, 0, 0]]], bool)
    prediction = np.array([[[1, 0, 0]], [[1, 0, 1]]], bool)
    assert METRICS["region"](truth, prediction, 2, None).per_class()["iou"] == (0.5, 0.5)


# Boundary


@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(1, 60), st.integers(1, 90)),
        elements=st.integers(0, 1),
        fill=st.just(1),
    )
)
def test_the_border_is_what_repeated_erosion_takes_away(mask):
    """Oracle: Pillow's 3x3 minimum filter, d times, on the mask framed with zeros, as in the paper's code."""
    reach = max(1, round(0.02 * math.hypot(*mask.shape)))
    eroded = Image.fromarray(np.pad(mask, reach + 1))
    for _ in range(reach):
        eroded = eroded.filter(ImageFilter.MinFilter(3))
    inside = np.asarray(eroded)[reach + 1 : -reach - 1, reach + 1 : -reach - 1]
    assert np.array_equal(border(mask) & (mask == 1), (mask == 1) & (inside == 0))


@given(MASKS)
def test_the_border_of_a_class_does_not_depend_on_what_the_others_are_called(mask):
    for k in range(CLASSES):
        assert np.array_equal(border(mask)[mask == k], border(mask == k)[mask == k])


def test_boundary_iou_of_a_shifted_square_worked_out_by_hand():
    truth, prediction = np.zeros((100, 100), np.int64), np.zeros((100, 100), np.int64)
    truth[20:40, 20:40] = 1
    prediction[20:40, 21:41] = 1
    # d = 3: rings of 20² − 14² = 204 pixels. Shifted by one they share bars of 3·19 along the top and the
    # bottom, and between them (14 rows) two columns on either side: 2·57 + 2·2·14 = 170.
    iou = METRICS["boundary"](truth, prediction, 2, None).per_class()["boundary_iou"]
    assert iou[1] == close(170 / (204 + 204 - 170))


def test_boundary_iou_sees_what_iou_forgives():
    truth, prediction = np.zeros((200, 200), np.int64), np.zeros((200, 200), np.int64)
    truth[20:180, 20:180] = 1
    prediction[24:176, 24:176] = 1
    region, boundary = (METRICS[name](truth, prediction, 2, None).summary() for name in ("region", "boundary"))
    assert region["mean_iou"] > 0.85
    assert boundary["boundary_iou"] < 0.5


# SQNR


@given(arrays(np.float32, (3, 8), elements=st.floats(-100, 100, width=32)), st.integers(0, 8))
def test_sqnr_of_parts_adds_to_sqnr_of_the_whole(values, cut):
    noisy = np.round(values)
    parts = Sqnr.from_outputs(values[:, :cut], noisy[:, :cut]) + Sqnr.from_outputs(values[:, cut:], noisy[:, cut:])
    whole = Sqnr.from_outputs(values, noisy)
    assert (parts.signal, parts.noise) == (close(whole.signal), close(whole.noise))


def test_sqnr_of_known_signals():
    ones = np.ones(1000, np.float32)
    assert Sqnr.from_outputs(ones, ones * np.float32(0.9)).decibels() == close(20, abs=1e-4)
    assert Sqnr.from_outputs(ones, ones).decibels() == math.inf
    assert Sqnr.from_outputs(0 * ones, ones).decibels() == -math.inf


def test_sqnr_of_a_uniform_grid_is_that_of_its_step():
    """A ramp from −1 to 1 has the power 1/3, rounding to steps Δ the noise Δ²/12."""
    ramp = np.linspace(-1, 1, 200_003)
    step = 2 / 255
    measured = Sqnr.from_outputs(ramp, np.round(ramp / step) * step).decibels()
    assert measured == close(10 * math.log10(4 / step**2), abs=0.05)


# Scores


@given(st.lists(st.tuples(MASKS, MASKS), min_size=1, max_size=3))
def test_a_batch_scores_as_its_images_added(pairs):
    truths, masks = (np.stack(side) for side in zip(*pairs, strict=True))
    total = {}
    for truth, mask in pairs:
        total = added(total, tally(truth[None], mask[None], CLASSES, None))
    assert Scores.of(tally(truths, masks, CLASSES, None)) == Scores.of(total)


def test_scores_hold_the_figures_of_every_metric():
    mask = np.zeros((1, 4, 4), np.int64)
    scores = Scores.of(tally(mask, mask, 1, None))
    assert {"mean_iou", "mean_dice", "pixel_accuracy", "boundary_iou"} <= scores.summary.keys()
    assert {"iou", "dice", "precision", "recall", "boundary_iou"} == scores.per_class.keys()
    assert scores.mean_iou == 1
