"""Metrics of instances: AP, AR, run lengths and mask IoU are pycocotools'; the matching keeps its laws."""

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from quantseg.data.instances import Instances
from quantseg.errors import MissingExtraError
from quantseg.evaluation.metrics.instances import LOOSE, TIGHT
from quantseg.evaluation.metrics.instances.counts import MatchCounts, counts_by_class
from quantseg.evaluation.metrics.instances.encoding import encoded, run_lengths
from quantseg.evaluation.metrics.instances.matching import matched
from quantseg.evaluation.metrics.instances.precision import PER_CLASS, SUMMARY, JudgedImage, average_precision

CLASSES = 3
SEEDS = st.integers(0, 2**32 - 1)
COCO_STATS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
"""The first figures that pycocotools prints, in its order."""


def some(rng: np.random.Generator, count: int, size: tuple[int, int], *, crowds: bool = False) -> Instances:
    """Instances of random rectangles, many with equal scores."""
    masks = np.zeros((count, *size), np.bool_)
    for mask in masks:
        y, x = (rng.integers(0, side) for side in size)
        height, width = (rng.integers(1, side) for side in size)
        mask[y : y + height, x : x + width] = True
    crowd = rng.random(count) < 0.25 if crowds else np.zeros(count, np.bool_)
    scores = (rng.integers(0, 10, count) / 10).astype(np.float32)
    return Instances(masks, rng.integers(0, CLASSES, count), scores, crowd)


def moved(rng: np.random.Generator, real: Instances) -> Instances:
    """The same instances a little elsewhere, some left out, some of another class, with other scores."""
    masks = (
        np.stack([np.roll(mask, rng.integers(-2, 3, 2), (0, 1)) for mask in real.masks]) if len(real) else real.masks
    )
    classes = np.where(rng.random(len(real)) < 0.1, rng.integers(0, CLASSES, len(real)), real.classes)
    scores = rng.random(len(real)).astype(np.float32)
    return Instances.of(masks, classes, scores).chosen(rng.random(len(real)) < 0.85)


def image(rng: np.random.Generator, *, most: int = 8) -> JudgedImage:
    height, width = (int(side) for side in rng.integers(20, 140, 2))
    real = some(rng, rng.integers(0, most), (height, width), crowds=True)
    other = some(rng, rng.integers(0, most), (height, width))
    found = moved(rng, real)
    return JudgedImage((height, width), encoded(real), encoded(found) + encoded(other))


def pycocotools(images: Sequence[JudgedImage]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Its figures, and those of each class computed from its arrays; -1 where nothing is true."""
    judge = COCOeval(_coco(images, found=False), _coco(images, found=True), "segm")
    with contextlib.redirect_stdout(io.StringIO()):
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision, recall = judge.eval["precision"], judge.eval["recall"]
    parts = {
        "ap": [precision[:, :, k, 0, -1] for k in range(CLASSES)],
        "ap50": [precision[0, :, k, 0, -1] for k in range(CLASSES)],
        "ar100": [recall[:, k, 0, -1] for k in range(CLASSES)],
    }
    per_class = {key: [p[p > -1].mean() if (p > -1).any() else -1 for p in values] for key, values in parts.items()}
    return dict(zip(COCO_STATS, judge.stats, strict=False)), per_class


def _coco(images: Sequence[JudgedImage], *, found: bool) -> Any:
    annotations = [
        {
            "image_id": place,
            "category_id": one.number + 1,
            "segmentation": {"size": list(image.size), "counts": one.runs},
            "area": one.area,
            "iscrowd": int(one.crowd),
            "score": one.score,
        }
        for place, image in enumerate(images, 1)
        for one in (image.found if found else image.truths)
    ]
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": k, "height": i.size[0], "width": i.size[1]} for k, i in enumerate(images, 1)],
            "categories": [{"id": k + 1, "name": str(k)} for k in range(CLASSES)],
            "annotations": annotations,
        }
        coco.createIndex()
    return coco


def assert_pycocotools(images: Sequence[JudgedImage]) -> None:
    ours, (summary, per_class) = average_precision(images, CLASSES), pycocotools(images)
    assert tuple(ours.summary) == SUMMARY == COCO_STATS
    assert tuple(ours.per_class) == PER_CLASS
    for key, value in ours.summary.items():
        assert (-1 if value is None else value) == pytest.approx(summary[key], abs=1e-9), key
    for key, values in ours.per_class.items():
        assert [-1 if value is None else value for value in values] == pytest.approx(per_class[key], abs=1e-9), key


# Average precision and recall


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 5))
def test_ap_and_ar_are_those_of_pycocotools(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    assert_pycocotools([image(rng) for _ in range(count)])


def test_small_medium_and_large_instances_are_told_apart_as_pycocotools_does() -> None:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(6):
        real = some(rng, 9, (160, 200))
        images.append(JudgedImage((160, 200), encoded(real), encoded(moved(rng, real))))
    assert_pycocotools(images)
    figures = average_precision(images, CLASSES).summary
    assert len({figures[f"ap_{size}"] for size in ("small", "medium", "large")} - {None}) == 3


def test_more_than_a_hundred_detections_count_as_in_pycocotools() -> None:
    rng = np.random.default_rng(1)
    real = some(rng, 130, (40, 40))
    assert_pycocotools([JudgedImage((40, 40), encoded(real), encoded(moved(rng, real)))])


def test_nothing_found_and_nothing_true_are_as_in_pycocotools() -> None:
    rng = np.random.default_rng(2)
    real = encoded(some(rng, 5, (30, 40)))
    empty = JudgedImage((30, 40), real, ())
    assert_pycocotools([empty])
    assert average_precision([empty], CLASSES).summary["ap"] == 0
    for images in ([JudgedImage((30, 40), (), real)], []):
        assert set(average_precision(images, CLASSES).summary.values()) == {None}


def test_detections_in_a_crowd_are_neither_right_nor_wrong() -> None:
    masks = np.zeros((3, 20, 40), np.bool_)
    masks[0, 2:8, 2:8], masks[1, :, 20:], masks[2, 5:9, 25:30] = True, True, True
    truths = Instances(masks[:2], np.zeros(2, np.int64), np.ones(2, np.float32), np.array([False, True]))
    found = Instances.of(masks[[2, 0]], np.zeros(2), np.array([0.9, 0.8]))
    judged = [JudgedImage((20, 40), encoded(truths), encoded(found))]
    assert_pycocotools(judged)
    assert average_precision(judged, CLASSES).summary["ap"] == pytest.approx(1)
    alone = [JudgedImage((20, 40), encoded(truths)[:1], encoded(found))]
    assert average_precision(alone, CLASSES).summary["ap"] == pytest.approx(0.5, abs=0.01)


def test_a_model_is_its_own_truth() -> None:
    found = some(np.random.default_rng(3), 12, (50, 60))
    figures = average_precision([JudgedImage((50, 60), encoded(found), encoded(found))], CLASSES).summary
    assert figures["ap"] == figures["ar100"] == pytest.approx(1)


def test_nothing_is_printed_and_no_file_is_written(
    capfd: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    average_precision([image(np.random.default_rng(4))], CLASSES)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'^AP of .*; pip install "quantseg\[instances\]"$'):
        average_precision([image(np.random.default_rng(5))], CLASSES)


# Run lengths


@given(SEEDS, st.floats(0, 1), st.integers(1, 90), st.integers(1, 90), st.integers(1, 60))
def test_run_lengths_are_those_of_pycocotools(seed: int, share: float, height: int, width: int, larger: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    mask = np.repeat(mask, larger, axis=0)
    assert run_lengths(mask) == coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]


@given(SEEDS)
def test_areas_are_pixels(seed: int) -> None:
    found = some(np.random.default_rng(seed), 4, (30, 20))
    assert [one.area for one in encoded(found)] == found.masks.sum(axis=(1, 2)).tolist()


# Matching


@given(SEEDS)
def test_iou_is_that_of_pycocotools_and_pairs_are_one_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real = some(rng, 9, (40, 50))
    other = moved(rng, real)
    pairs = matched(real, other)
    assert len({p.reference for p in pairs}) == len({p.candidate for p in pairs}) == len(pairs)
    shapes = ([{"size": [40, 50], "counts": one.runs} for one in encoded(side)] for side in (other, real))
    ious = np.asarray(coco_mask.iou(*shapes, [0] * len(real))).reshape(len(other), len(real))
    for pair in pairs:
        assert pair.iou == ious[pair.candidate, pair.reference] >= LOOSE
        assert real.classes[pair.reference] == other.classes[pair.candidate]
    assert [pair.iou for pair in pairs] == sorted((pair.iou for pair in pairs), reverse=True)


@given(SEEDS)
def test_no_pair_that_could_be_matched_is_left(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real = some(rng, 9, (40, 50))
    other = moved(rng, real)
    pairs = matched(real, other)
    taken = {p.reference for p in pairs}, {p.candidate for p in pairs}
    for i in set(range(len(real))) - taken[0]:
        for j in set(range(len(other))) - taken[1]:
            both = np.count_nonzero(real.masks[i] & other.masks[j])
            either = np.count_nonzero(real.masks[i] | other.masks[j])
            assert real.classes[i] != other.classes[j] or both < LOOSE * either


@given(SEEDS)
def test_where_masks_do_not_overlap_the_matching_is_the_best_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids, other_ids = (np.kron(rng.integers(0, 7, (4, 5)), np.ones((6, 6), np.int64)) for _ in range(2))
    other_ids = np.where(rng.random(ids.shape) < 0.9, np.roll(ids, rng.integers(-1, 2), 1), other_ids)
    sides = [Instances.of(np.stack([m == k for k in range(7)]), np.arange(7) % 2) for m in (ids, other_ids)]
    graph = nx.Graph()
    for i, j in np.ndindex(7, 7):
        both, either = (
            np.count_nonzero(f(sides[0].masks[i], sides[1].masks[j])) for f in (np.bitwise_and, np.bitwise_or)
        )
        if either and i % 2 == j % 2 and both / either >= LOOSE:
            graph.add_edge(i, 10 + j, weight=both / either)
    best = nx.max_weight_matching(graph, maxcardinality=True)
    pairs = matched(*sides)
    assert len(pairs) == len(best)
    assert sum(p.iou for p in pairs) == pytest.approx(sum(graph.edges[edge]["weight"] for edge in best))


def test_crowds_other_classes_and_empty_masks_are_matched_with_none() -> None:
    masks = np.zeros((3, 8, 8), np.bool_)
    masks[:2, 2:6, 2:6] = True
    real = Instances(masks, np.array([0, 1, 0]), np.ones(3, np.float32), np.array([True, False, False]))
    same = Instances.of(masks, np.array([0, 0, 0]))
    assert matched(real, same) == ()
    assert [(p.reference, p.candidate, p.iou) for p in matched(same, same)] == [(0, 0, 1.0), (1, 1, 1.0)]


def test_no_instances_are_no_pairs() -> None:
    none = Instances.of(np.zeros((0, 8, 8)), np.zeros(0))
    some_are = Instances.of(np.ones((2, 8, 8)), np.zeros(2))
    assert matched(none, some_are) == matched(some_are, none) == matched(none, none) == ()


def test_masks_of_two_sizes_are_no_pair() -> None:
    with pytest.raises(ValueError, match="pixels"):
        matched(Instances.of(np.ones((1, 8, 8)), np.zeros(1)), Instances.of(np.ones((1, 8, 9)), np.zeros(1)))


# Counts


@given(SEEDS)
def test_counts_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real = some(rng, 9, (40, 50))
    other = moved(rng, real)
    counts = counts_by_class(real, other, matched(real, other), CLASSES)
    total = sum(counts, MatchCounts())
    assert (total.reference, total.candidate) == (len(real), len(other))
    assert total.lost + total.matched() == len(real)
    assert total.gained + total.matched() == len(other)
    assert total.matched(TIGHT) <= total.matched(LOOSE)
    assert total.matched() == len(matched(real, other))


@given(st.lists(st.lists(st.floats(LOOSE, 1), max_size=5), min_size=1, max_size=6), st.randoms())
def test_counts_are_a_monoid_whose_means_do_not_depend_on_the_order(parts: list[list[float]], random: Any) -> None:
    tallies = [MatchCounts(len(ious) + 1, len(ious), tuple(ious)) for ious in parts]
    whole = sum(tallies, MatchCounts())
    assert whole == MatchCounts() + whole == whole + MatchCounts()
    assert sum(tallies[1:], tallies[0]) == whole
    shuffled = random.sample(tallies, len(tallies))
    other = sum(shuffled, MatchCounts())
    assert (other.mean_iou, other.mean_dice, other.lost) == (whole.mean_iou, whole.mean_dice, whole.lost)


@given(SEEDS)
def test_iou_lies_between_half_of_dice_and_dice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real = some(rng, 9, (40, 50))
    other = moved(rng, real)
    pairs = matched(real, other)
    total = sum(counts_by_class(real, other, pairs, CLASSES), MatchCounts())
    if total.mean_iou is None or total.mean_dice is None:
        assert pairs == ()
        return
    both = [(real.masks[p.reference], other.masks[p.candidate]) for p in pairs]
    dice = np.mean([2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)) for a, b in both])
    assert total.mean_dice == pytest.approx(dice)
    assert total.mean_dice / 2 <= total.mean_iou <= total.mean_dice
