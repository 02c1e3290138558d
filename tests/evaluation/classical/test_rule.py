"""Clusters and the rule that names segments, against their definitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from quantseg.errors import DataError
from quantseg.evaluation.classical import CLASSICAL, class_mask, learnt
from quantseg.evaluation.classical.clustering import cluster, means, nearest
from quantseg.evaluation.classical.colours import mean_colours, palette
from quantseg.evaluation.classical.rule import GROUPS, assigned
from quantseg.evaluation.classical.segments import numbered, places

pytest.importorskip("skimage", reason="scikit-image is not installed: an extra")

points = hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.integers(-50, 50))


@given(points, st.integers(1, 8))
def test_each_point_is_in_the_group_whose_mean_is_nearest(given_points: NDArray[np.float64], count: int) -> None:
    weights = np.ones(len(given_points))
    groups = cluster(given_points, weights, count)
    assert groups.min() >= 0
    assert groups.max() < count
    used = np.unique(groups)
    centres = {k: given_points[groups == k].mean(axis=0) for k in used}
    for point, group in zip(given_points, groups, strict=True):
        own = np.sum((point - centres[group]) ** 2)
        assert own <= min(np.sum((point - centre) ** 2) for centre in centres.values()) + 1e-9


@given(points, st.integers(1, 5))
def test_a_point_of_weight_two_is_two_points(given_points: NDArray[np.float64], count: int) -> None:
    distinct = np.unique(given_points, axis=0)
    twice = np.concatenate([distinct, distinct])
    heavy = cluster(distinct, np.full(len(distinct), 2.0), count)
    light = cluster(twice, np.ones(len(twice)), count)[: len(distinct)]
    assert np.array_equal(heavy, light)


def test_groups_that_lie_apart_are_found_as_scipy_finds_them() -> None:
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(0)
    true = np.array([[0, 0, 0], [40, 0, 0], [0, 40, 0], [0, 0, 40], [40, 40, 40]], float)
    data = np.concatenate([rng.normal(centre, 2, (30, 3)) for centre in true])
    groups = cluster(data, np.ones(len(data)), 5)
    _, theirs = kmeans2(data, true, minit="matrix")
    assert np.array_equal(np.equal.outer(groups, groups), np.equal.outer(theirs, theirs))


def test_weights_pull_a_mean() -> None:
    data, weights = np.array([[0.0], [1.0], [10.0]]), np.array([3.0, 1.0, 1.0])
    groups = np.array([0, 0, 1])
    assert means(data, weights, groups, np.full((3, 1), 7.0)).tolist() == [[0.25], [10.0], [7.0]]
    assert nearest(data, np.array([[0.0], [9.0]])).tolist() == [0, 0, 1]


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 40)))
def test_numbers_have_no_gap_and_keep_the_order(labels: NDArray[np.int64]) -> None:
    found = numbered(labels)
    assert np.array_equal(found, np.unique(labels, return_inverse=True)[1].reshape(labels.shape))


@given(hnp.arrays(np.uint8, (4, 5, 3)), hnp.arrays(np.int64, (4, 5), elements=st.integers(0, 3)))
def test_colours_and_places_of_segments_are_means(image: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    from skimage.color import rgb2lab

    segments = numbered(labels)
    colours, pixels = mean_colours(image, segments)
    for k in range(segments.max() + 1):
        inside = segments == k
        assert pixels[k] == inside.sum()
        expected = rgb2lab(image[inside].mean(axis=0)[None, None] / 255)[0, 0]
        assert colours[k] == pytest.approx(expected, abs=1e-9)
        assert places(segments)[k] == pytest.approx(np.argwhere(inside).mean(axis=0))


@given(hnp.arrays(np.uint8, (6, 6, 3)))
def test_a_palette_counts_every_pixel_once(image: NDArray[np.uint8]) -> None:
    known = palette(image)
    assert known.pixels.sum() == 36
    assert np.array_equal(np.bincount(known.index.ravel()), known.pixels)
    coarse = np.unique((image >> 3).reshape(-1, 3), axis=0)
    assert len(known.colours) == len(coarse)


def iou_of(counts: NDArray[np.int64], classes: tuple[int, ...]) -> float:
    """Mean IoU by its definition."""
    ious = []
    for k in range(counts.shape[1]):
        named = np.array(classes) == k
        both, union = counts[named, k].sum(), counts[named].sum() + counts[~named, k].sum()
        ious += [both / union] if union else []
    return float(np.mean(ious)) if ious else 0.0


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(1, 3)), elements=st.integers(0, 30)))
def test_no_other_class_for_a_group_gives_a_larger_mean_iou(counts: NDArray[np.int64]) -> None:
    found = tuple(assigned(counts).tolist())
    reached = iou_of(counts, found)
    assert reached >= iou_of(counts, tuple(counts.argmax(axis=1).tolist())) - 1e-12
    every = itertools.product(range(counts.shape[1]), repeat=len(counts))
    nearby = [one for one in every if sum(a != b for a, b in zip(one, found, strict=True)) <= 1]
    assert reached >= max(iou_of(counts, one) for one in nearby) - 1e-12


def stripes() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Three stripes of three colours and their classes."""
    mask = np.repeat(np.arange(3), 10)[None].repeat(24, axis=0)
    return np.array([(250, 240, 230), (200, 90, 110), (90, 50, 140)], np.uint8)[mask], mask


def test_what_was_learnt_names_colours_wherever_they_lie() -> None:
    image, mask = stripes()
    rule = learnt(CLASSICAL["k-means"], [(image, mask)], 3)
    assert rule.seen == (0, 1, 2)
    assert 0 < rule.size == rule.centres.nbytes + rule.classes.nbytes <= GROUPS * 14
    assert np.array_equal(class_mask(CLASSICAL["k-means"], rule, image[:, ::-1].copy()), mask[:, ::-1])


def test_ignored_pixels_teach_nothing() -> None:
    image, mask = stripes()
    ignored = np.where(mask == 2, -1, mask)
    rule = learnt(CLASSICAL["k-means"], [(image, ignored)], 3)
    assert rule.seen == (0, 1)
    assert set(np.unique(class_mask(CLASSICAL["k-means"], rule, image))) == {0, 1}


def test_no_label_at_all_is_one_line() -> None:
    image, mask = stripes()
    with pytest.raises(DataError, match=r"^no pixel of the images to learn from has a class; "):
        learnt(CLASSICAL["k-means"], [(image, np.full_like(mask, -1))], 3)


def test_the_order_of_colours_decides_nothing_about_the_rule() -> None:
    image, mask = stripes()
    one, other = (learnt(CLASSICAL["Otsu"], pairs, 3) for pairs in ([(image, mask)], [(image[::-1], mask[::-1])]))
    assert np.array_equal(one.centres, other.centres)
    assert np.array_equal(one.classes, other.classes)
