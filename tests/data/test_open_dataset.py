"""A folder as a data set: what is found, in which order, with which masks, and what is refused."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.data import open_dataset
from quantseg.data.folder import choose
from quantseg.errors import DataError
from tests.support.data_files import SIZE, image, recipe_for, save, spec
from tests.support.places import SHARED


def opened(folder, *, limit=None, **flags):
    inputs = spec()
    return open_dataset(folder, recipe_for(inputs, **flags), inputs=inputs, limit=limit)


def mask(value=1, size=SIZE):
    return np.full(size, value, np.uint8)


def write(folder: Path, layout: str, name: str, seed=0):
    """One file of a layout; its name gets the layout's suffix."""
    path = folder / f"{name}{'.png' if layout == 'images' else '.npy'}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if layout == "images":
        save(path, image(seed))
    else:
        np.save(path, np.random.default_rng(seed).random((1, 3, *SIZE), np.float32))
    return path


@pytest.mark.parametrize("layout", ["images", "arrays"])
def test_names_are_sorted_relative_and_recursive_and_hidden_files_are_passed_over(layout, tmp_path):
    for name in ("b", "a/z", "a/b/c", "C", ".hidden", ".git/d"):
        write(tmp_path, layout, name)
    (tmp_path / "notes.txt").write_text("not an input")
    names = [name.rsplit(".", 1)[0] for name in opened(tmp_path).names]
    assert names == ["C", "a/b/c", "a/z", "b"]


@pytest.mark.parametrize("layout", ["images", "arrays"])
def test_every_layout_gives_inputs_of_the_model_and_survives_pickling(layout, tmp_path):
    paths = [write(tmp_path, layout, name, seed) for seed, name in enumerate("abc")]
    dataset = opened(tmp_path)
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy == dataset
    assert len(pickle.dumps(dataset)) < 4096
    assert not (dataset.load(0).mask is not None)
    for index, path in enumerate(paths):
        item = copy.load(index)
        assert item.name == path.name
        assert item.mask is None
        assert (item.image is None) == (layout == "arrays")
        assert (item.tensor.shape, item.tensor.dtype) == ((1, 3, *SIZE), np.float32)
        assert dataset.digest(index) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("layout", ["images", "arrays"])
@pytest.mark.parametrize("given_folder", [".", "images"])
def test_masks_are_found_by_place_and_stem_beside_images(layout, given_folder, tmp_path):
    for seed, name in enumerate(("a/one", "two")):
        write(tmp_path / "images", layout, name, seed)
        save(tmp_path / "masks" / f"{name}.png", mask(seed + 1))
    dataset = opened(tmp_path / given_folder)
    assert dataset.load(0).mask is not None
    assert [name.rsplit(".", 1)[0] for name in dataset.names] == ["a/one", "two"]
    for index in range(2):
        item = dataset.load(index)
        assert item.mask.dtype == np.int64
        np.testing.assert_array_equal(item.mask, mask(index + 1))


def test_a_folder_of_several_sets_takes_each_mask_from_its_own_set(tmp_path):
    for value, part in enumerate(("train", "val")):
        save(tmp_path / part / "images" / "a.jpg", image())
        save(tmp_path / part / "masks" / "a.png", mask(value))
    dataset = opened(tmp_path)
    assert dataset.names == ("train/images/a.jpg", "val/images/a.jpg")
    assert [int(dataset.load(index).mask.max()) for index in range(2)] == [0, 1]


@given(st.integers(1, 200), st.integers(1, 250))
def test_a_limit_spreads_evenly(count, limit):
    names = tuple(f"{index:03d}" for index in range(count))
    chosen = choose(names, limit)
    assert len(chosen) == min(count, limit)
    assert list(chosen) == sorted(set(chosen))
    gaps = np.diff([*map(int, chosen), count])
    assert gaps.max() - gaps.min() <= 1


def test_a_limit_of_nothing_is_refused(tmp_path):
    save(tmp_path / "a.png", image())
    with pytest.raises(DataError, match="1 or more"):
        opened(tmp_path, limit=0)


def missing_folder(folder):
    return folder / "nowhere"


def a_file(folder):
    return save(folder / "a.png", image())


def nothing(folder):
    (folder / "readme.txt").write_text("nothing here")
    return folder


def mixed(folder):
    write(folder, "images", "a")
    write(folder, "arrays", "b")
    return folder


def one_mask_missing(folder):
    save(folder / "images" / "a.png", image())
    save(folder / "images" / "b.png", image())
    save(folder / "masks" / "a.png", mask())
    return folder


def two_masks(folder):
    save(folder / "images" / "a.png", image())
    save(folder / "masks" / "a.png", mask())
    save(folder / "masks" / "a.tif", mask())
    return folder


def only_a_lossy_mask(folder):
    save(folder / "images" / "a.png", image())
    save(folder / "masks" / "a.jpg", mask())
    return folder


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (missing_folder, ["nowhere", "no such folder"]),
        (a_file, ["a.png", "a file, not a folder"]),
        (nothing, ["no images or arrays", ".png", ".npy"]),
        (mixed, ["a.png", "b.npy", "mixes"]),
        (one_mask_missing, ["b.png", "no mask", "masks/b.png"]),
        (two_masks, ["a.png", "a.tif", "two masks"]),
        (only_a_lossy_mask, ["a.png", "no mask"]),
    ],
)
def test_a_folder_that_is_no_data_set_is_one_line(make, facts, tmp_path):
    with pytest.raises(DataError) as caught:
        opened(make(tmp_path))
    assert "\n" not in str(caught.value)
    for fact in facts:
        assert fact in str(caught.value)


def test_a_file_that_went_away_is_told(tmp_path):
    path = save(tmp_path / "a.png", image())
    dataset = opened(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.png"):
        dataset.digest(0)
    with pytest.raises(DataError, match=r"a\.png"):
        dataset.load(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "classes", "ignore", "masked"),
    [
        ("camvid/val", 11, 11, True),
        ("camvid/val/images", 11, 11, True),
        ("wbc", 3, None, True),
        ("isbi_membrane", 2, None, True),
        ("coco10", 3, None, False),
    ],
)
def test_real_folders_open(folder, classes, ignore, masked):
    if not SHARED.is_dir():
        pytest.skip("the shared folder of real images is not here")
    dataset = opened(SHARED / "data" / folder, limit=4, classes=classes, ignore_index=ignore)
    assert (dataset.load(0).mask is not None) == masked
    for index in range(len(dataset.names)):
        item = dataset.load(index)
        assert item.tensor.shape == (1, 3, *SIZE)
        assert 0 <= item.tensor.min() <= item.tensor.max() <= 1
        if masked:
            assert item.mask.shape == SIZE
