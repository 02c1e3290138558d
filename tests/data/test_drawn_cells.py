"""The blood smears: the same seed draws the same bytes, and the mask says what the image shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quantseg.data.drawn_cells import CLASSES, cell_image, write_cells
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
