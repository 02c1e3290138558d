"""Which layout and which split a word means: recognised, named, ambiguous or wrong."""

import logging
from pathlib import Path

import numpy as np
import pytest

from quantseg.data import LAYOUTS, open_samples
from quantseg.data.address import Address, parse_address
from quantseg.errors import DataError
from tests.support.data_trees import TREES, encoded, ids, pixels


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("roads", Address(Path("roads"))),
        ("roads#val", Address(Path("roads"), None, "val")),
        ("camvid:roads", Address(Path("roads"), "camvid")),
        ("camvid:/a/b c#val", Address(Path("/a/b c"), "camvid", "val")),
        ("voc:a#b#train", Address(Path("a#b"), "voc", "train")),
        ("cells:64@6x8#7", Address(Path("64@6x8"), "cells", "7")),
        # A drive is one letter, a layout more.
        ("C:/roads#val", Address(Path("C:/roads"), None, "val")),
    ],
)
def test_a_word_names_a_place_a_layout_and_a_split(word, meaning):
    assert parse_address(word, LAYOUTS) == meaning
    assert parse_address(Path(word), LAYOUTS) == meaning


def test_an_existing_folder_is_meant_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("roads#val", "voc:roads"):
        (tmp_path / name).mkdir()
        assert parse_address(name, LAYOUTS) == Address(Path(name))


@pytest.mark.parametrize(
    ("word", "beside", "fact"),
    [
        ("camvd:roads", {}, "no layout 'camvd'; there are images, arrays, camvid"),
        ("roads", {"layout": "camvd"}, "no layout 'camvd'"),
        ("camvid:", {}, "names no folder"),
        ("camvid:#val", {}, "names no folder"),
        ("camvid:roads#", {}, "names no split"),
        ("camvid:" + "x" * 5000 + "#", {}, "names no split"),
        ("camvid:roads", {"layout": "voc"}, "says 'camvid' where 'voc' was asked for"),
        ("roads#val", {"split": "train"}, "says 'val' where 'train' was asked for"),
    ],
)
def test_a_word_without_meaning_is_one_line(word, beside, fact):
    with pytest.raises(DataError) as caught:
        parse_address(word, LAYOUTS, **beside)
    assert fact in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["x" * 5000, "voc:" + "x" * 5000, "a/" * 5000])
def test_a_name_that_no_file_system_takes_is_no_folder(word):
    with pytest.raises(DataError, match="no such folder"):
        open_samples(word)


@pytest.mark.parametrize("name", ["camvid", "voc", "cityscapes"])
def test_several_splits_are_listed_and_one_that_is_not_there_is_refused(name, tmp_path):
    tree = TREES[name]()
    tree.write(tmp_path)
    listed = {"camvid": "train, val", "voc": "train, trainval, val", "cityscapes": "train, val"}[name]
    with pytest.raises(DataError, match=f"holds the splits {listed}; choose one, {name}:.*#train"):
        open_samples(tmp_path)
    with pytest.raises(DataError, match=f"has no split 'test'; it holds {listed}"):
        open_samples(f"{tmp_path}#test")
    with pytest.raises(DataError, match=r"has no split '\.\./train'"):
        open_samples(tmp_path, split="../train")


@pytest.mark.parametrize("name", ["images", "binary"])
def test_a_tree_without_splits_says_so(name, tmp_path):
    tree = TREES[name]()
    with pytest.raises(DataError, match="has no split 'val'; it holds none"):
        open_samples(f"{tree.write(tmp_path)}#val")


def road_sets(folder):
    for value, part in enumerate(("train", "val")):
        for kind, file in (("images", encoded(pixels(value))), ("masks", encoded(ids(value, [value])))):
            (folder / part / kind).mkdir(parents=True)
            (folder / part / kind / "a.png").write_bytes(file)
    return folder


def test_folders_of_images_and_masks_are_taken_together_or_one_by_one(tmp_path, caplog):
    road_sets(tmp_path)
    with caplog.at_level(logging.INFO):
        assert open_samples(tmp_path).names == ("train/images/a.png", "val/images/a.png")
    assert "the splits train, val together" in caplog.text
    one = open_samples(f"{tmp_path}#val")
    assert one.names == ("a.png",)
    np.testing.assert_array_equal(one.read(0)[1], ids(1, [1]))
    with pytest.raises(DataError, match="has no split 'test'; it holds train, val"):
        open_samples(f"{tmp_path}#test")


@pytest.mark.parametrize("name", TREES)
def test_what_was_recognised_is_told_unless_it_is_any_folder(name, tmp_path, caplog):
    tree = TREES[name]()
    with caplog.at_level(logging.INFO):
        open_samples(tree.write(tmp_path), split=tree.split)
    assert (f"read as {name}" in caplog.text) == (name != "images")


@pytest.mark.parametrize(("one", "other"), [("voc", "coco"), ("images", "cityscapes"), ("camvid", "binary")])
def test_a_tree_of_two_layouts_is_refused_and_may_be_named(one, other, tmp_path):
    for name in (one, other):
        TREES[name]().write(tmp_path)
    first, second = sorted((one, other), key=list(LAYOUTS).index)
    with pytest.raises(DataError) as caught:
        open_samples(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: looks like {first} and like {second}; say which, {first}:{tmp_path} or {second}:{tmp_path}"
    )
    tree = TREES[one]()
    assert open_samples(tmp_path, dataset=one, split=tree.split).names == tuple(sorted(tree.images))


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in ("cells", "arrays")])
def test_a_folder_of_something_else_is_one_line_for_every_layout(name, tmp_path):
    (tmp_path / "notes.txt").write_text("no data")
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "notes.txt"):
        with pytest.raises(DataError) as caught:
            open_samples(place, dataset=name)
        assert str(place) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_earlier_name_of_a_layout_means_that_layout(tmp_path):
    folder = TREES["images"]().write(tmp_path)
    for named in ("pictures", "images"):
        assert parse_address(f"{named}:{folder}", LAYOUTS).layout == "images"
        assert open_samples(folder, dataset=named).names == open_samples(folder).names
