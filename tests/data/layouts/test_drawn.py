"""Layout cells: images that are drawn when they are asked for."""

import pickle

import numpy as np
import pytest

from quantseg.data import open_dataset, open_samples
from quantseg.data.drawn_cells import CLASSES, cell_image, write_cells
from quantseg.errors import DataError
from tests.support.data_files import recipe_for, spec


def test_image_k_is_the_one_of_seed_k():
    samples = open_samples("cells:3@20x32#40")
    assert samples.names == ("0000000040", "0000000041", "0000000042")
    assert (samples.classes, samples.ignore_index) == (CLASSES, None)
    for index in (2, 0, 1):
        for found, drawn in zip(samples.read(index), cell_image(40 + index, (20, 32)), strict=True):
            np.testing.assert_array_equal(found, drawn)


def test_drawn_images_are_those_that_are_written(tmp_path):
    write_cells(tmp_path, 3, seed=40, size=(20, 32))
    drawn, written = open_samples("cells:3@20x32#40"), open_samples(tmp_path)
    for index in range(3):
        for one, other in zip(drawn.read(index), written.read(index), strict=True):
            np.testing.assert_array_equal(one, other)


def test_size_and_first_number_may_be_left_out():
    samples = open_samples("1", dataset="cells")
    np.testing.assert_array_equal(samples.read(0)[0], cell_image(0)[0])


def test_the_same_images_have_the_same_digest_wherever_the_series_starts():
    one, other = open_samples("cells:3@16x16#5"), open_samples("cells:3@16x16#6")
    assert [one.digest(1), one.digest(2)] == [other.digest(0), other.digest(1)]
    assert len({one.digest(0), one.digest(1), one.digest(2), open_samples("cells:1@16x17#5").digest(0)}) == 4


def test_what_is_read_may_be_written_on_and_draws_anew():
    samples = open_samples("cells:1@16x16")
    image, mask = samples.read(0)
    before = image.copy(), mask.copy()
    image[:], mask[:] = 0, 0
    for found, kept in zip(samples.read(0), before, strict=True):
        np.testing.assert_array_equal(found, kept)


def test_a_model_gets_them_with_masks_or_without():
    inputs = spec()
    recipe = recipe_for(inputs, classes=4)
    dataset = open_dataset("cells:5@12x16", recipe, inputs=inputs, limit=2)
    assert dataset.names == ("0000000000", "0000000002")
    assert pickle.loads(pickle.dumps(dataset)) == dataset
    assert dataset.load(0).mask.shape == (6, 8)
    assert open_dataset("cells:5@12x16", recipe, inputs=inputs, masks=False).load(0).mask is None


@pytest.mark.parametrize(
    ("word", "fact"),
    [
        ("cells:many", "gives no count"),
        ("cells:3@20", "gives no count"),
        ("cells:3#first", "gives no count"),
        ("cells:3#-1", "gives no count"),
        ("cells:٣", "gives no count"),
        ("cells:0", "out of bounds"),
        ("cells:3@0x9", "out of bounds"),
        ("cells:3@9x5000", "out of bounds"),
        ("cells:2000000", "out of bounds"),
        ("cells:3#4294967294", "numbers end at"),
    ],
)
def test_a_word_that_is_no_series_is_one_line(word, fact):
    with pytest.raises(DataError, match=fact) as caught:
        open_samples(word)
    assert "\n" not in str(caught.value)
