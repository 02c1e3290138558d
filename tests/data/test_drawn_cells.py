"""The blood smears: the same seed draws the same bytes, and the mask says what the image shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quantseg.data.drawn_cells import (
    CLASSES,
    INSTANCE_CLASSES,
    LEAST_PIXELS,
    LEAST_SHARE,
    Drawing,
    cell_image,
    cell_instances,
    draw,
    write_cells,
)
from quantseg.errors import OutputError


@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(1, 80))
@settings(max_examples=25, deadline=None)
def test_any_seed_and_size_draws_a_image_and_its_mask(seed, height, width):
    image, mask = cell_image(seed, (height, width))
    assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((height, width), np.uint8)
    assert mask.max() < len(CLASSES)


def test_the_same_seed_draws_the_same_bytes_and_another_does_not():
    first, again, other = (cell_image(seed, (64, 96)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).mean() > 0.5


@pytest.fixture(scope="module")
def many():
    images, masks = zip(*(cell_image(seed) for seed in range(16)), strict=True)
    return np.stack(images), np.stack(masks)


def test_every_class_occurs_and_background_is_the_largest(many):
    shares = np.bincount(many[1].ravel(), minlength=len(CLASSES)) / many[1].size
    assert shares.argmax() == CLASSES.index("background")
    assert shares.min() > 0.02


def test_stain_colours_tell_the_classes_apart(many):
    red, green, blue = (
        {name: many[0][..., channel][many[1] == k].mean() for k, name in enumerate(CLASSES)} for channel in range(3)
    )
    assert green["background"] > green["red cell"] > green["nucleus"]
    assert red["red cell"] > blue["red cell"]
    assert blue["nucleus"] > red["nucleus"] > green["nucleus"]


def test_a_nucleus_lies_in_its_cytoplasm(many):
    """Hardly a pixel of a nucleus touches background or red cells."""
    nucleus = many[1] == CLASSES.index("nucleus")
    outside = many[1] < CLASSES.index("cytoplasm")
    touching = (nucleus[:, 1:] & outside[:, :-1]).sum() + (nucleus[:, :-1] & outside[:, 1:]).sum()
    assert touching < 0.02 * nucleus.sum()


def test_written_cells_are_the_images_of_consecutive_seeds(tmp_path):
    write_cells(tmp_path, 3, seed=40, size=(32, 48))
    for index in range(3):
        image, mask = cell_image(40 + index, (32, 48))
        np.testing.assert_array_equal(Image.open(tmp_path / "images" / f"{index:04d}.png"), image)
        np.testing.assert_array_equal(Image.open(tmp_path / "masks" / f"{index:04d}.png"), mask)


def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "images" / "0000.png").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"0000\.png"):
        write_cells(tmp_path, 1, size=(8, 8))


# Instances.


@pytest.mark.parametrize("seed", range(12))
def test_instances_are_the_cells_that_the_mask_shows(seed):
    """Red cells are class id 1 of the mask, white cells cytoplasm and nucleus; only hidden cells and slivers lack."""
    drawing = draw(seed, (128, 160))
    found = drawing.instances()
    assert found.masks.sum(axis=0).max(initial=0) <= 1
    for mask, number in zip(found.masks, found.classes, strict=True):
        allowed = {1} if INSTANCE_CLASSES[number] == "red cell" else {2, 3}
        assert set(np.unique(drawing.mask[mask]).tolist()) <= allowed
        owner = int(drawing.owners[mask][0])
        np.testing.assert_array_equal(mask, drawing.owners == owner)
        assert mask.sum() >= max(LEAST_PIXELS, LEAST_SHARE * drawing.cells[owner - 1][1])
    np.testing.assert_array_equal(drawing.owners > 0, drawing.mask > 0)
    left = drawing.owners[(drawing.owners > 0) & ~found.masks.any(axis=0)]
    for owner, seen in zip(*np.unique(left, return_counts=True), strict=True):
        assert seen < max(LEAST_PIXELS, LEAST_SHARE * drawing.cells[owner - 1][1])


def test_instances_are_in_the_order_of_drawing_and_white_cells_last():
    for seed in range(4):
        found = cell_instances(seed)
        assert sorted(found.classes.tolist()) == found.classes.tolist()
        image, mask = cell_image(seed)
        np.testing.assert_array_equal(draw(seed).image, image)
        np.testing.assert_array_equal(draw(seed).mask, mask)
        again = cell_instances(seed)
        np.testing.assert_array_equal(again.masks, found.masks)


def test_a_cell_that_is_hidden_is_no_instance():
    owners = np.zeros((20, 20), np.int32)
    owners[:6, :6] = 1  # 36 of 100 pixels are seen
    owners[10:14, 10:16] = 2  # 24 of 100
    owners[16:19, 0:5] = 3  # 15 of 15
    cells = ((0, 100), (0, 100), (1, 15))
    drawing = Drawing(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8), owners, cells)
    assert drawing.instances().masks.sum(axis=(1, 2)).tolist() == [36]
    assert drawing.instances((10, 10)).masks.shape == (1, 10, 10)


@pytest.mark.parametrize(
    ("seed", "size", "pixels", "colour"),
    [
        (0, (192, 192), [22481, 8569, 3861, 1953], [208.58, 191.54, 196.0]),
        (77, (64, 96), [3868, 0, 1041, 1235], [198.53, 180.73, 196.63]),
        (5, (256, 200), [36035, 11368, 2163, 1634], [223.69, 196.12, 202.13]),
    ],
)
def test_cells_are_drawn_as_before_instances_were_known_of(seed, size, pixels, colour):
    """Not to the byte: another processor rounds a cosine otherwise. Another order of random numbers is far off."""
    image, mask = cell_image(seed, size)
    assert np.abs(np.bincount(mask.ravel(), minlength=4) - pixels).max() <= 3
    assert np.abs(image.reshape(-1, 3).mean(axis=0) - colour).max() < 0.05
