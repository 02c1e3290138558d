"""Layout cityscapes: label ids become train ids."""

import numpy as np
import pytest

from quantseg.data import open_samples
from quantseg.data.layouts.cityscapes import CLASSES, train_ids
from quantseg.errors import DataError
from tests.support.data_trees import LABEL_IDS, cityscapes_tree, encoded, ids


@pytest.fixture
def tree(tmp_path):
    return cityscapes_tree().write(tmp_path)


def test_each_class_has_its_train_id_and_every_other_label_is_ignored(tmp_path):
    found = train_ids(np.arange(34, dtype=np.uint8), tmp_path)
    assert [int(found[label]) for label in LABEL_IDS] == list(range(len(CLASSES)))
    assert {int(found[label]) for label in range(34) if label not in LABEL_IDS} == {255}


@pytest.mark.parametrize("unknown", [34, 255])
def test_an_unknown_label_is_one_line(tree, unknown):
    (tree / "gtFine/val/bonn/bonn_0_0_gtFine_labelIds.png").write_bytes(encoded(ids(0, [7, unknown])))
    samples = open_samples(tree, split="val")
    with pytest.raises(DataError, match=rf"bonn_0_0_gtFine_labelIds\.png: label id {unknown} is not in 0…33"):
        samples.read(samples.names.index("bonn/bonn_0_0_leftImg8bit.png"))


def test_a_negative_label_is_refused(tmp_path):
    with pytest.raises(DataError, match="label id -1"):
        train_ids(np.array([[-1, 7]]), tmp_path)


def test_images_without_any_labels_are_for_calibration_only(tree):
    with pytest.raises(DataError, match="no masks in it; as cityscapes it would hold leftImg8bit"):
        open_samples(tree, split="train")


def test_a_split_without_its_images_is_told(tree):
    (tree / "leftImg8bit" / "test").mkdir()
    with pytest.raises(DataError, match=r"test: no \*_leftImg8bit\.png in it"):
        open_samples(tree, split="test")
