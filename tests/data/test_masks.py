"""Masks: ids per pixel, checked against image and classes; the oracle of resizing is Pillow's nearest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from quantseg.data import open_dataset
from quantseg.data.masks import read_mask, resize_nearest
from quantseg.data.recipe import OutputRecipe
from quantseg.errors import DataError
from tests.support.data_files import image, recipe_for, save, spec

THREE = OutputRecipe(head="argmax", classes=("a", "b", "c"))
IDS = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)


def read(path, recipe=THREE, extent=(2, 3)):
    return read_mask(path, recipe, extent=extent, whose="a.jpg")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("m.png", np.uint8), ("m.png", np.uint16), ("m.png", bool), ("m.tif", np.uint16), ("m.bmp", np.uint8)],
)
def test_single_channel_images_hold_ids(name, dtype, tmp_path):
    ids = IDS.astype(dtype)
    found = read(save(tmp_path / name, ids))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, ids)


def test_the_index_of_a_palette_is_the_id(tmp_path):
    image = Image.fromarray(IDS)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read(tmp_path / "m.png"), IDS)


def test_numpy_masks_hold_ids_or_planes(tmp_path):
    np.save(tmp_path / "m.npy", IDS.astype(np.int32))
    np.testing.assert_array_equal(read(tmp_path / "m.npy"), IDS)
    planes = np.random.default_rng(0).random((3, 2, 3)) > 0.5
    np.save(tmp_path / "p.npy", planes)
    multilabel = OutputRecipe(head="multilabel", classes=("a", "b", "c"))
    np.testing.assert_array_equal(read(tmp_path / "p.npy", multilabel), planes)


def test_a_multilabel_recipe_gets_one_plane_per_class_and_none_for_ignored_pixels(tmp_path):
    recipe = OutputRecipe(head="multilabel", classes=("a", "b", "c"), ignore_index=255)
    ids = IDS.copy()
    ids[0, 0] = 255
    found = read(save(tmp_path / "m.png", ids), recipe)
    assert found.tolist() == [
        [[0, 0, 0], [0, 0, 1]],
        [[0, 1, 0], [0, 1, 0]],
        [[0, 0, 1], [1, 0, 0]],
    ]


def test_the_ignored_id_may_lie_outside_the_classes(tmp_path):
    ids = np.where(IDS == 2, 255, IDS).astype(np.uint8)
    recipe = OutputRecipe(head="argmax", classes=("a", "b"), ignore_index=255)
    np.testing.assert_array_equal(read(save(tmp_path / "m.png", ids), recipe), ids)


def test_any_id_passes_where_the_number_of_classes_is_unknown(tmp_path):
    np.testing.assert_array_equal(read(save(tmp_path / "m.png", IDS), OutputRecipe(head="labels")), IDS)


def png(values):
    return lambda folder: save(folder / "m.png", np.asarray(values))


def npy(values):
    def make(folder):
        np.save(folder / "m.npy", np.asarray(values))
        return folder / "m.npy"

    return make


MULTILABEL = OutputRecipe(head="multilabel", classes=("a", "b", "c"))


@pytest.mark.parametrize(
    ("make", "recipe", "fact"),
    [
        (png(np.zeros((2, 3, 3), np.uint8)), THREE, "colour image"),
        (png(np.zeros((3, 2), np.uint8)), THREE, "mask of 3x2 for a.jpg of 2x3"),
        (png(IDS + 5), THREE, "class id 5 is not in 0…2"),
        (png(IDS * 127), THREE, "class id 127"),
        (npy(IDS.astype(int) - 1), THREE, "class id -1"),
        (npy(IDS.astype(int) - 1), OutputRecipe(head="labels"), "class id -1"),
        (npy(IDS.astype(np.float32)), THREE, "float32 values"),
        (npy(np.zeros((1, 2, 3), int)), THREE, "3 axes"),
        (npy(np.zeros(3, int)), THREE, "mask of 3 for"),
        (npy(np.int64(1)), THREE, "mask of one value for"),
        (npy(np.zeros((2, 2, 3), int)), MULTILABEL, "2 planes for 3 classes"),
        (npy(np.full((3, 2, 3), 2)), MULTILABEL, "zeros and ones"),
    ],
)
def test_a_mask_that_does_not_fit_is_one_line_that_names_the_file(make, recipe, fact, tmp_path):
    path = make(tmp_path)
    with pytest.raises(DataError) as caught:
        read(path, recipe)
    assert path.name in str(caught.value)
    assert fact in str(caught.value)
    assert "\n" not in str(caught.value)


sides = st.integers(1, 40)


def on_the_border(found, wanted):
    """Which new pixels have their centre exactly between two old ones."""
    return (2 * np.arange(wanted) + 1) * found % (2 * wanted) == 0


@given(sides, sides, sides, sides, st.integers(0, 9))
def test_resizing_takes_the_pixel_that_pillow_takes(height, width, new_height, new_width, seed):
    ids = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    pillow = Image.fromarray(ids).resize((new_width, new_height), Image.Resampling.NEAREST)
    found = resize_nearest(ids.astype(np.int64), (new_height, new_width))
    # On a border Pillow's sum of rounded steps falls on either side.
    clear = ~on_the_border(height, new_height)[:, None] & ~on_the_border(width, new_width)
    np.testing.assert_array_equal(found[clear], np.asarray(pillow)[clear])


def test_resizing_keeps_planes_apart():
    planes = np.arange(2 * 4 * 6).reshape(2, 4, 6)
    np.testing.assert_array_equal(resize_nearest(planes, (2, 3)), [resize_nearest(plane, (2, 3)) for plane in planes])


def test_image_and_mask_are_compared_upright_and_resized_together(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise: stored 12x16 is shown as 16x12
    save(tmp_path / "images" / "a.png", image(size=(12, 16)), exif=exif)
    ids = np.random.default_rng(0).integers(0, 3, (16, 12), np.uint8)
    save(tmp_path / "masks" / "a.png", ids)
    inputs = spec()
    item = open_dataset(tmp_path, recipe_for(inputs), inputs=inputs).load(0)
    assert item.image.shape == (6, 8, 3)
    np.testing.assert_array_equal(item.mask, resize_nearest(ids.astype(np.int64), (6, 8)))
