"""Layout camvid: both of its trees give the same, and what is missing is told."""

import numpy as np
import pytest

from quantseg.data import open_samples
from quantseg.errors import DataError
from tests.support.data_trees import CAMVID, camvid_tree, encoded, ids
from tests.support.places import SHARED

REAL = SHARED / "data" / "camvid"


def split_into_images_and_masks(folder):
    for name, content in camvid_tree().files.items():
        if name.endswith(".txt"):
            continue
        part, _, file = name.rpartition("/")
        place = folder / part.removesuffix("annot") / ("masks" if part.endswith("annot") else "images") / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return folder


def test_both_trees_give_the_same_samples(tmp_path):
    segnet = open_samples(camvid_tree().write(tmp_path / "a"), split="val")
    beside = open_samples(split_into_images_and_masks(tmp_path / "b"), dataset="camvid", split="val")
    assert segnet.names == beside.names
    assert segnet.fingerprint() == beside.fingerprint()
    assert segnet.classes == beside.classes == CAMVID


def test_a_split_may_be_given_as_the_folder_itself(tmp_path):
    split_into_images_and_masks(tmp_path)
    part = open_samples(tmp_path / "val", dataset="camvid")
    assert part == open_samples(tmp_path, dataset="camvid", split="val")


def test_images_beside_masks_are_camvid_only_when_it_is_said(tmp_path):
    split_into_images_and_masks(tmp_path)
    assert open_samples(tmp_path / "val").classes == ()


def test_an_unknown_id_is_one_line_that_names_the_mask(tmp_path):
    samples = open_samples(camvid_tree().write(tmp_path), split="val")
    (tmp_path / "valannot" / "0001.png").write_bytes(encoded(ids(0, [3, 12])))
    samples.read(0)
    with pytest.raises(DataError, match=r"valannot.0001\.png: class id 12 is not in 0…10"):
        samples.read(1)


def test_an_empty_split_is_told(tmp_path):
    for folder in ("test", "testannot"):
        (tmp_path / folder).mkdir()
    with pytest.raises(DataError, match="test: no images in it"):
        open_samples(tmp_path)


@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101)])
def test_the_real_data_set_opens(split, count):
    if not REAL.is_dir():
        pytest.skip("the shared folder of real images is not here")
    samples = open_samples(REAL, dataset="camvid", split=split)
    assert len(samples) == count
    for index in range(0, count, 30):
        image, mask = samples.read(index)
        assert image.shape == (360, 480, 3)
        assert mask.shape == (360, 480)
        assert np.unique(mask).size > 4
