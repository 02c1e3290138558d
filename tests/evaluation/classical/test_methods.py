"""Every classical method on images of every kind, and the laws of those that look at colour alone."""

import itertools
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from quantseg.data.drawn_cells import cell_image
from quantseg.errors import DataError, MissingExtraError
from quantseg.evaluation.classical import CLASSICAL, class_mask, learnt, segmented
from quantseg.evaluation.classical.colours import grey
from quantseg.evaluation.classical.methods.otsu import levels, thresholds
from quantseg.evaluation.classical.methods.slic import superpixels
from quantseg.evaluation.classical.segments import LEAST_SIDE, MOST_PIXELS, Segments

pytest.importorskip("skimage", reason="scikit-image is not installed: an extra")

Image = NDArray[np.uint8]
CLASSES = 4
COLOUR_ALONE = ("Otsu", "k-means")
"""Methods to which the place of a pixel is nothing."""
TRANSFORMS: dict[str, Callable[[NDArray[np.generic]], NDArray[np.generic]]] = {
    "mirrored": lambda x: x[:, ::-1],
    "upside down": lambda x: x[::-1],
    "turned": np.rot90,
    "shuffled": lambda x: x.reshape(-1, 1, *x.shape[2:])[np.random.default_rng(5).permutation(x.shape[0] * x.shape[1])],
}


def disc(size: int = 64) -> tuple[Image, NDArray[np.int64]]:
    """A dark disc on a light ground, with a little noise, and its mask."""
    rows, columns = np.indices((size, size)) - size / 2
    mask = (np.hypot(rows, columns) < size / 3).astype(np.int64)
    colours = np.array([[230, 225, 240], [120, 60, 150]])[mask]
    noise = np.random.default_rng(0).normal(0, 3, colours.shape)
    return np.clip(colours + noise, 0, 255).astype(np.uint8), mask


def partition(segments: Segments) -> set[frozenset[int]]:
    """The sets of pixels, whatever their numbers."""
    return {frozenset(np.flatnonzero(segments.ravel() == k).tolist()) for k in np.unique(segments)}


def odd_images() -> dict[str, Image]:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (40, 56, 3), np.uint8)
    return {
        "one pixel": np.full((1, 1, 3), 7, np.uint8),
        "two pixels": np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8),
        "a row": noise[:1],
        "a column": noise[:, :1],
        "tiny": noise[:3, :5],
        "grey": np.repeat(noise[..., :1], 3, axis=2),
        "black and white": np.where(noise[..., :1] > 127, 255, 0).astype(np.uint8).repeat(3, axis=2),
        "noise": noise,
        "one odd pixel": np.where((np.indices((20, 20)).sum(axis=0) == 0)[..., None], 0, 255)
        .astype(np.uint8)
        .repeat(3, axis=2),
        "a ramp": np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8),
    }


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("kind", odd_images())
def test_any_image_is_parted_into_numbered_segments(name: str, kind: str) -> None:
    image = odd_images()[kind]
    found = segmented(CLASSICAL[name], image, CLASSES)
    assert found.shape == image.shape[:2]
    assert found.dtype == np.int64
    assert np.array_equal(np.unique(found), np.arange(found.max() + 1))


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("colour", [0, 128, 255])
def test_an_image_of_one_colour_is_one_segment(name: str, colour: int) -> None:
    assert not segmented(CLASSICAL[name], np.full((30, 20, 3), colour, np.uint8), CLASSES).any()


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("classes", [1, 2, 3, 11])
def test_any_number_of_classes_is_taken(name: str, classes: int) -> None:
    image, _ = cell_image(3, (64, 64))
    assert segmented(CLASSICAL[name], image, classes).shape == (64, 64)


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_same_image_gives_the_same_segments(name: str) -> None:
    image, _ = cell_image(11, (96, 96))
    first = segmented(CLASSICAL[name], image, CLASSES)
    before = image.copy()
    assert np.array_equal(segmented(CLASSICAL[name], image.copy(), CLASSES), first)
    assert np.array_equal(image, before), "the image was changed"


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_disc_is_found(name: str) -> None:
    image, truth = disc()
    mask = class_mask(CLASSICAL[name], learnt(CLASSICAL[name], [(image, truth)], 2), image)
    overlap = np.sum(mask & truth) / np.sum(mask | truth)
    assert overlap > (0.9 if name == "Canny" else 0.97)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSICAL)
def test_on_drawn_cells_every_method_beats_a_mask_of_background(name: str) -> None:
    """By mean IoU and by the IoU of the foreground, on images that nothing was learnt from."""
    learning = [cell_image(2_000_000 + k) for k in range(4)]
    judged = [cell_image(3_000_000 + k) for k in range(3)]
    rule = learnt(CLASSICAL[name], learning, CLASSES)
    truth = np.stack([mask for _, mask in judged])
    found = np.stack([class_mask(CLASSICAL[name], rule, image) for image, _ in judged])
    assert mean_iou(truth, found) > mean_iou(truth, np.zeros_like(found)) + 0.15
    inside = np.sum((truth > 0) & (found > 0)) / np.sum((truth > 0) | (found > 0))
    assert inside > (0.35 if name == "Canny" else 0.7), "a mask without foreground has 0"
    assert set(np.unique(found)) <= set(range(CLASSES))


def mean_iou(truth: NDArray[np.generic], found: NDArray[np.generic]) -> float:
    """By its definition, over the classes that occur."""
    ious = [np.sum((truth == k) & (found == k)) / np.sum((truth == k) | (found == k)) for k in range(CLASSES)]
    return float(np.nanmean(ious))


@pytest.mark.parametrize("name", COLOUR_ALONE)
@pytest.mark.parametrize("how", TRANSFORMS)
def test_where_a_pixel_lies_is_nothing_to_a_method_of_colour(name: str, how: str) -> None:
    learning = [cell_image(seed, (64, 64)) for seed in range(3)]
    rule = learnt(CLASSICAL[name], learning, CLASSES)
    image, _ = cell_image(9, (64, 80))
    mask = class_mask(CLASSICAL[name], rule, image)
    assert np.unique(mask).size > 1
    moved = TRANSFORMS[how]
    assert np.array_equal(class_mask(CLASSICAL[name], rule, np.ascontiguousarray(moved(image))), moved(mask))


@settings(max_examples=30)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))))
def test_a_mirrored_image_has_mirrored_segments(image: Image) -> None:
    for name in COLOUR_ALONE:
        there, here = (segmented(CLASSICAL[name], one, 3) for one in (np.ascontiguousarray(image[:, ::-1]), image))
        if min(image.shape[:2]) >= LEAST_SIDE:  # smaller ones are continued at one side
            assert partition(there[:, ::-1]) == partition(here)
        assert there.shape == here.shape == image.shape[:2]


# Each method against its definition


@settings(max_examples=30)
@given(hnp.arrays(np.uint8, (10, 10, 3)))
def test_otsus_threshold_has_the_greatest_variance_between_its_parts(image: Image) -> None:
    found = levels(image, 2)
    shades = grey(image).ravel().astype(float)
    if not found.thresholds:
        assert np.unique(shades).size == 1
        return

    def between(threshold: int) -> float:
        low, high = shades[shades <= threshold], shades[shades > threshold]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(low) and len(high) else 0.0

    best = max(between(one) for one in range(256))
    assert between(found.thresholds[0]) == pytest.approx(best, rel=1e-12)
    assert np.array_equal(found.labels, (found.grey > found.thresholds[0]).astype(int))


@settings(max_examples=30)
@given(hnp.arrays(np.int64, 9, elements=st.integers(0, 20)), st.integers(2, 4))
def test_several_thresholds_are_the_best_of_all_there_are(few: NDArray[np.int64], count: int) -> None:
    """Against all partings of nine greys; the rest of the histogram is empty."""
    histogram = np.zeros(256, np.int64)
    histogram[100:109] = few
    greys = np.flatnonzero(histogram)
    if len(greys) < count:
        return

    def between(ends: tuple[int, ...]) -> float:
        parts = np.searchsorted(ends, greys)
        kept = [(histogram[greys[parts == k]], greys[parts == k]) for k in range(len(ends) + 1)]
        return sum(float(n @ g) ** 2 / n.sum() for n, g in kept)

    found = thresholds(histogram, count)
    assert list(found) == sorted(set(found))
    every = itertools.combinations(greys[:-1].tolist(), count - 1)
    assert between(found) == pytest.approx(max(map(between, every)), rel=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_thresholds_are_those_of_scikit_image(classes: int) -> None:
    """On an image whose histogram is not lop-sided: it computes in float32."""
    from skimage.filters import threshold_multiotsu

    image, _ = cell_image(4)
    assert levels(image, classes).thresholds == tuple(
        threshold_multiotsu(grey(image), classes, 256).round().astype(int)
    )


@settings(max_examples=20)
@given(hnp.arrays(np.uint8, (9, 9, 3)), st.integers(1, 9))
def test_levels_are_ordered_and_hold_their_means(image: Image, classes: int) -> None:
    found = levels(image, classes)
    assert len(found.thresholds) == len(found.means) - 1 == min(classes, np.unique(found.grey).size) - 1
    for level, mean in enumerate(found.means):
        assert found.grey[found.labels == level].mean() == pytest.approx(mean)
    assert np.all(np.diff(found.means) > 0)


def test_grey_is_the_luma_of_pillow() -> None:
    from PIL import Image as Pillow

    image, _ = cell_image(2)
    theirs = np.asarray(Pillow.fromarray(image).convert("L"), np.int64)
    assert np.abs(grey(image).astype(np.int64) - theirs).max() <= 1  # its weights have 16 bits


def test_superpixels_are_connected() -> None:
    from scipy import ndimage

    image, _ = cell_image(5)
    found = superpixels(image)
    assert found.max() + 1 > 500
    assert all(ndimage.label(found == k)[1] == 1 for k in range(0, found.max() + 1, 37))


def test_a_random_walker_keeps_its_seeds_and_labels_the_rest() -> None:
    image, _ = cell_image(6)
    found, thresholded = segmented(CLASSICAL["random walker"], image, 2), segmented(CLASSICAL["Otsu"], image, 2)
    changed = found != thresholded
    assert 0 < changed.mean() < 0.2
    near = np.abs(grey(image).astype(int) - levels(image, 2).thresholds[0])
    assert near[changed].max() < near.max(), "pixels far from the threshold are certain"


def test_a_watershed_parts_what_a_threshold_joins() -> None:
    """Two discs of like grey whose cores are apart are two basins, with two of ground or one."""
    rows, columns = np.indices((48, 96))
    inside = (np.hypot(rows - 24, columns - 26) < 18) | (np.hypot(rows - 24, columns - 70) < 18)
    image = np.where(inside[..., None], (120, 60, 150), (230, 225, 240)).astype(np.uint8)
    found = segmented(CLASSICAL["watershed"], image, 2)
    assert found[24, 26] != found[24, 70]
    assert len(partition(segmented(CLASSICAL["Otsu"], image, 2))) == 2


def test_normalised_cuts_part_a_graph_at_its_weakest_links() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    for k, colour in enumerate([(200, 40, 40), (40, 200, 40), (40, 40, 200)]):
        image[:, 20 * k : 20 * (k + 1)] = colour
    noisy = np.clip(image.astype(int) + np.random.default_rng(2).integers(-4, 5, image.shape), 0, 255).astype(np.uint8)
    found = segmented(CLASSICAL["normalised cuts"], noisy, 2)
    stripes = [set(np.unique(found[:, 20 * k + 2 : 20 * k + 18]).tolist()) for k in range(3)]
    assert not stripes[0] & stripes[1]
    assert not stripes[1] & stripes[2]
    assert not stripes[0] & stripes[2]


# Bounds and refusals


@pytest.mark.parametrize("shape", [(700, 900), (1, 400_000), (300_000, 2), (512, 512), (513, 512)])
def test_a_large_image_is_shrunk_for_the_method_and_its_segments_enlarged(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    image[shape[0] // 2 :, shape[1] // 2 :] = 255
    seen: list[tuple[int, ...]] = []

    def bright(given: Image, classes: int) -> Segments:
        seen.append(given.shape)
        return (given[..., 0] > 127).astype(np.int64)

    found = segmented(bright, image, 2)
    assert found.shape == shape
    assert seen[0][0] * seen[0][1] <= MOST_PIXELS
    assert min(seen[0][:2]) >= LEAST_SIDE
    assert np.mean(found != (image[..., 0] > 127)) < 0.01
    assert (seen[0][:2] == shape) == (shape == (512, 512))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused_in_a_line(image: NDArray[np.generic]) -> None:
    with pytest.raises(DataError, match=r"is no RGB image; give uint8 \(height, width, 3\)$"):
        segmented(CLASSICAL["Otsu"], image, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("module", ["skimage", "scipy"])
def test_without_the_extra_one_line_tells_what_to_install(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtraError, match=r'^scikit-image is not installed; pip install "quantseg\[classical\]"$'
    ):
        segmented(CLASSICAL["k-means"], disc()[0], 2)


def test_the_package_imports_without_the_extra() -> None:
    """In a fresh process: nothing of it is imported before a method runs."""
    import subprocess

    code = "import sys, quantseg.evaluation.classical, quantseg.report; print(*{'skimage', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
