"""Suppression: the same boxes as a plain loop keeps, and as onnxruntime's operator does; and its laws."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.data.heads.instances.boxes import MOST, by_score, corners, overlap, suppress
from tests.support import graphs

IOU = st.sampled_from([0.25, 0.5, 0.75, 1.0])


@st.composite
def detections(draw, *, distinct=False):
    """Boxes of whole numbers, so that every overlap is exact; few scores, so that ties happen."""
    count = draw(st.integers(0, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first = rng.integers(-3, 8, (count, 2))
    boxes = np.concatenate([first, first + rng.integers(0, 7, (count, 2))], axis=1).astype(np.float64)
    scores = rng.permutation(count) + 1 if distinct else rng.integers(1, 5, count)
    return boxes, (scores / 16).astype(np.float32), rng.integers(0, 2, count)


def plain(boxes, scores, classes, iou):
    """Greedy suppression in fractions, one pair after another."""

    def area(box):
        return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)

    def shared(a, b):
        common = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
        union = area(a) + area(b) - common
        return Fraction(int(common), int(union)) if union else Fraction(0)

    kept = []
    for one in sorted(range(len(boxes)), key=lambda k: (-scores[k], k)):
        if all(classes[one] != classes[k] or shared(boxes[one], boxes[k]) <= iou for k in kept):
            kept.append(one)
    return kept


@given(detections(), IOU)
def test_it_keeps_what_a_plain_loop_keeps(found, iou):
    assert suppress(*found, iou).tolist() == plain(*found, Fraction(iou))


@given(detections(), IOU)
@settings(max_examples=30, deadline=None)
def test_it_keeps_what_onnxruntime_keeps(found, iou):
    boxes, scores, classes = found
    model = graphs.parse(
        """<ir_version: 8, opset_import: ["": 13]>
        g (float[1,N,4] b, float[1,2,N] s, int64 most, float iou, float low) => (int64[M,3] kept)
        { kept = NonMaxSuppression(b, s, most, iou, low) }"""
    )
    own = np.where(classes == np.arange(2)[:, None], scores, 0)[None].astype(np.float32)
    feeds = {"b": boxes[None].astype(np.float32), "s": own, "most": np.array(1000), "iou": np.array(iou, np.float32)}
    (kept,) = graphs.run(model, {**feeds, "low": np.array(0, np.float32)})
    for number in (0, 1):
        ours = [k for k in suppress(boxes, scores, classes, iou).tolist() if classes[k] == number]
        assert ours == [k for _, owner, k in kept.tolist() if owner == number]


@given(detections(), IOU)
def test_what_is_kept_is_kept_again(found, iou):
    kept = suppress(*found, iou)
    again = suppress(*(part[kept] for part in found), iou)
    assert again.tolist() == list(range(len(kept)))


@given(detections(distinct=True), IOU, st.randoms(use_true_random=False))
def test_the_order_of_the_boxes_does_not_matter_where_scores_differ(found, iou, random):
    order = list(range(len(found[0])))
    random.shuffle(order)
    moved = suppress(*(part[order] for part in found), iou)
    assert [order[k] for k in moved] == suppress(*found, iou).tolist()


@given(detections(), IOU)
def test_classes_are_suppressed_apart(found, iou):
    boxes, scores, classes = found
    together = suppress(boxes, scores, classes, iou).tolist()
    for number in (0, 1):
        own = np.flatnonzero(classes == number)
        apart = own[suppress(boxes[own], scores[own], classes[own], iou)].tolist()
        assert [k for k in together if classes[k] == number] == apart


@given(detections(), IOU, st.integers(1, 5))
def test_a_bound_takes_the_best_of_all_that_are_kept(found, iou, most):
    assert suppress(*found, iou, most).tolist() == suppress(*found, iou, None).tolist()[:most]


def test_at_most_a_hundred_are_kept():
    apart = np.arange(150)[:, None] * 10.0 + np.array([0, 0, 5, 5])
    scores = np.linspace(1, 0.5, 150, dtype=np.float32)
    assert suppress(apart, scores, np.zeros(150, int), 0.5).tolist() == list(range(MOST))


def test_equal_scores_are_in_the_order_of_their_indices():
    assert by_score(np.array([1, 3, 3, 2, 3], np.float32)).tolist() == [1, 2, 4, 3, 0]


def test_corners_and_their_overlap():
    np.testing.assert_array_equal(corners(np.array([[10, 20, 4, 6], [0, 0, 2, 0]])), [[8, 17, 12, 23], [-1, 0, 1, 0]])
    boxes = np.array([[0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4], [1, 1, 1, 3], [3, 3, 1, 1]], np.float64)
    assert overlap(boxes[0], boxes) == pytest.approx([1, 4 / 28, 0, 0, 0])
    assert overlap(boxes[3], boxes[3:]).tolist() == [0, 0]  # of no area
