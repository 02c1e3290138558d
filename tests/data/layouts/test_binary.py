"""Layout binary: a mask of two values beside each image."""

import numpy as np
import pytest

from quantseg.data import open_dataset, open_samples
from quantseg.data.layouts.binary import zero_one
from quantseg.errors import DataError
from tests.support.data_files import recipe_for, spec
from tests.support.data_trees import binary_tree, encoded, ids, pixels


@pytest.fixture
def tree(tmp_path):
    return binary_tree().write(tmp_path)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 255], [0, 1]), ([0, 1], [0, 1]), ([0, 0], [0, 0]), ([255, 255], [1, 1]), ([1, 1], [1, 1])],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_two_values_become_ids(values, expected, dtype, tmp_path):
    assert zero_one(np.array([values], dtype), tmp_path).tolist() == [expected]


def test_one_bit_is_an_id(tmp_path):
    assert zero_one(np.array([[True, False]]), tmp_path).tolist() == [[1, 0]]


@pytest.mark.parametrize("values", [[0, 2], [0, 1, 255], [0, 127, 255], [0, 254]])
def test_a_third_value_is_one_line_that_names_the_mask(tree, values):
    (tree / "case_1" / "s_1_mask.tif").write_bytes(encoded(ids(0, values), ".tif"))
    with pytest.raises(DataError, match=r"s_1_mask\.tif: value \d+ in a mask of two values"):
        open_samples(tree).read(0)


def test_masks_are_not_taken_for_images_in_calibration(tree):
    inputs = spec()
    names = open_dataset(tree, recipe_for(inputs, classes=2), inputs=inputs, masks=False).names
    assert names == tuple(sorted(binary_tree().images))


def test_a_image_that_is_only_called_a_mask_is_a_image(tree):
    (tree / "case_2" / "carnival_mask.png").write_bytes(encoded(pixels(0)))
    with pytest.raises(DataError, match=r"carnival_mask\.png: has no mask; put it at .*carnival_mask_mask\.png"):
        open_samples(tree)


def test_two_masks_are_told(tree):
    (tree / "case_2" / "s_1_mask.tif").write_bytes(encoded(ids(0, [0, 255]), ".tif"))
    with pytest.raises(DataError, match=r"s_1\.png: has two masks, case_2/s_1_mask\.png and case_2/s_1_mask\.tif"):
        open_samples(tree)


def test_two_images_of_one_name_are_told(tree):
    (tree / "case_2" / "s_1.tif").write_bytes(encoded(pixels(0), ".tif"))
    with pytest.raises(DataError, match=r"s_1\.png: case_2/s_1\.tif lies beside it"):
        open_samples(tree)


def test_a_lossy_mask_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(pixels(0), ".jpg"))
    (tmp_path / "a_mask.jpg").write_bytes(encoded(ids(0, [0, 255]), ".jpg"))
    with pytest.raises(DataError, match=r"a_mask\.jpg: a mask in a lossy format; save it as a_mask\.png"):
        open_samples(tmp_path)
