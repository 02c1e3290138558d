"""Operators of detection logic: onnxruntime chooses the same, and reads the same features up to the order of sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.errors import ModelError
from tests.support.operators import call, judged, simulated

SEEDS = st.integers(0, 2**32 - 1)


def boxes(rng: np.random.Generator, *shape: int, corner: float = 20.0) -> np.ndarray:
    low = rng.uniform(-2, corner, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(0.1, 12, (*shape, 2))], -1).astype(np.float32)


@given(SEEDS, st.booleans(), st.sampled_from([0.0, 0.3, 0.7]), st.integers(0, 8))
def test_suppression_keeps_the_same_boxes(seed: int, centred: bool, overlap: float, most: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=(2, 3, 12)).round(1).astype(np.float32)  # some are equal
    found = boxes(rng, 2, 12)
    given_ = np.abs(found) if centred else found, scores, np.array(most), np.float32(overlap), np.float32(0.35)
    same = simulated("NonMaxSuppression", *given_, center_point_box=int(centred))
    assert same[0].dtype == np.int64
    np.testing.assert_array_equal(same[0], judged("NonMaxSuppression", *given_, center_point_box=int(centred))[0])


@given(SEEDS, st.sampled_from([0, 1, 2, 3]), st.sampled_from(["half_pixel", "output_half_pixel"]))
def test_regions_are_read_alike(seed: int, ratio: int, mode: str) -> None:
    rng = np.random.default_rng(seed)
    features, images = rng.normal(size=(2, 3, 9, 11)).astype(np.float32), rng.integers(0, 2, 4)
    how = {"output_height": 3, "output_width": 2, "sampling_ratio": ratio, "spatial_scale": 0.5}
    given_ = features, boxes(rng, 4), images
    mine = simulated("RoiAlign", *given_, coordinate_transformation_mode=mode, **how)
    theirs = judged("RoiAlign", *given_, coordinate_transformation_mode=mode, **how)
    np.testing.assert_allclose(mine[0], theirs[0], rtol=0, atol=2e-5)


def test_no_region_is_read_as_none() -> None:
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    read = simulated("RoiAlign", np.ones((1, 3, 4, 4), np.float32), *none, output_height=2, output_width=5)[0]
    assert read.shape == (0, 3, 2, 5)
    with pytest.raises(ModelError, match="maxima"):
        simulated("RoiAlign", np.ones((1, 3, 4, 4), np.float32), *none, mode="max")


@given(SEEDS, st.booleans(), st.integers(0, 5))
def test_of_equal_scores_the_first_comes_first(seed: int, largest: bool, count: int) -> None:
    x = np.random.default_rng(seed).integers(0, 3, (2, 5)).astype(np.float32)
    how = {"axis": 1, "largest": int(largest), "sorted": 1, "outputs": 2}
    for mine, theirs in zip(
        simulated("TopK", x, np.array([count]), **how), judged("TopK", x, np.array([count]), **how), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_elements_are_found_gathered_and_put_back() -> None:
    x = np.array([[1.0, 0, 2], [0, 0, 3]], np.float32)
    places = simulated("NonZero", x)[0]
    np.testing.assert_array_equal(places, judged("NonZero", x)[0])
    rows = np.ascontiguousarray(places.T)
    found = simulated("GatherND", x, rows)[0]
    np.testing.assert_array_equal(found, [1, 2, 3])
    np.testing.assert_array_equal(simulated("ScatterND", np.zeros_like(x), rows, found)[0], x)
    np.testing.assert_array_equal(simulated("GatherElements", x, np.array([[2], [2]]), axis=1)[0], [[2], [3]])


def test_what_cannot_be_is_refused() -> None:
    for bad in (
        ("TopK", np.ones(3, np.float32), np.array([4])),
        ("Range", np.array(0), np.array(3), np.array(0)),
        ("Range", np.array(0), np.array(2**40), np.array(1)),
        ("NonMaxSuppression", np.ones((1, 3, 4)), np.ones(3)),
    ):
        with pytest.raises(ModelError):
            simulated(*bad)
    assert call(np.array(0)).opset
    np.testing.assert_array_equal(simulated("Range", np.array(1), np.array(8), np.array(3))[0], [1, 4, 7])
