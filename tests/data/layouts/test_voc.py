"""Layout voc: lists decide what is read, and are not believed blindly."""

import numpy as np
import pytest

from quantseg.data import open_samples
from quantseg.data.layouts import voc
from quantseg.errors import DataError
from quantseg.files import limits
from tests.support.data_trees import VOC_PALETTE, encoded, ids, pixels, voc_tree


@pytest.fixture
def tree(tmp_path):
    return voc_tree().write(tmp_path)


def write_list(tree, content):
    (tree / "ImageSets" / "Segmentation" / "val.txt").write_bytes(content)


def test_the_order_and_the_line_ends_of_a_list_do_not_matter(tree):
    before = open_samples(tree, split="val")
    write_list(tree, b"\r\n2007_000001\r\n2007_000002")
    assert open_samples(tree, split="val") == before


@pytest.mark.parametrize(
    "line", ["../../secret", "/etc/passwd", "..\\secret", "C:secret", "a/../../b", "two\x07", "x\x00y", "."]
)
def test_a_list_that_leads_out_of_the_folder_is_refused(tree, line):
    (tree.parent / "secret.png").write_bytes(encoded(pixels(0)))
    write_list(tree, line.encode())
    with pytest.raises(DataError, match=r"val\.txt: names a file .* which may lie outside the folder") as caught:
        open_samples(tree, split="val")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "lists no image"),
        (b"2007_000777\n", "lists '2007_000777', and JPEGImages/2007_000777.jpg is not there"),
        (b"2007_000009\n", "has no mask; put it at"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
    ],
)
def test_a_list_that_fits_nothing_is_one_line(tree, content, fact):
    write_list(tree, content)
    with pytest.raises(DataError) as caught:
        open_samples(tree, split="val")
    assert fact in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_that_is_there_many_times_is_looked_at_once(tree, monkeypatch):
    looked_at = []
    monkeypatch.setattr(voc, "inside", lambda name, *, listed_in: looked_at.append(name))
    write_list(tree, b"2007_000001\n" * 1000)
    assert open_samples(tree, split="val").names == ("2007_000001.png",)
    assert looked_at == ["2007_000001"]


def test_a_huge_list_is_refused_before_it_is_read(tree, monkeypatch):
    monkeypatch.setattr(limits, "LIST_BYTES", 1 << 20)
    write_list(tree, b"2007_000001\n" * 100_000)
    with pytest.raises(DataError, match=r"val\.txt: is larger than 1 MiB"):
        open_samples(tree, split="val")


def test_two_images_of_one_name_are_told(tree):
    (tree / "JPEGImages" / "2007_000001.jpg").write_bytes(encoded(pixels(0), ".jpg"))
    with pytest.raises(DataError, match=r"holds both 2007_000001\.jpg and 2007_000001\.png"):
        open_samples(tree, split="val")


def test_a_mask_in_colour_is_refused(tree):
    (tree / "SegmentationClass" / "2007_000001.png").write_bytes(encoded(pixels(0)))
    with pytest.raises(DataError, match=r"2007_000001\.png: a colour image"):
        open_samples(tree, split="val").read(0)


def test_an_unknown_id_is_refused(tree):
    mask = ids(0, [0, 21])
    (tree / "SegmentationClass" / "2007_000001.png").write_bytes(encoded(mask, palette=VOC_PALETTE))
    with pytest.raises(DataError, match=r"2007_000001\.png: class id 21 is not in 0…20"):
        open_samples(tree, split="val").read(0)


def test_more_classes_may_be_named(tree):
    mask = ids(0, [0, 21])
    (tree / "SegmentationClass" / "2007_000001.png").write_bytes(encoded(mask, palette=VOC_PALETTE))
    classes = (*voc.CLASSES, "unicorn")
    np.testing.assert_array_equal(open_samples(tree, split="val", classes=classes).read(0)[1], mask)
