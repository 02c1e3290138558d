"""Laws of every layout of labelled images, each on a tiny tree: what is read, in which order, and what changes it."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from quantseg.data import LAYOUTS, open_dataset, open_samples
from quantseg.data.masks import resize_nearest
from quantseg.errors import DataError
from tests.support.data_files import SIZE, recipe_for, spec
from tests.support.data_trees import TREES, Tree, encoded, ids, pixels


def address(layout: str, tree: Tree, folder: Path) -> str:
    return f"{layout}:{folder}" + (f"#{tree.split}" if tree.split else "")


def test_every_layout_has_a_tree():
    assert {*TREES, "arrays", "cells"} == set(LAYOUTS)


def available(name: str) -> str:
    if name == "coco":
        pytest.importorskip("pycocotools", reason="masks of coco need pycocotools")
    return name


@pytest.fixture(params=TREES)
def layout(request):
    return available(request.param)


@pytest.fixture(params=[name for name, make in TREES.items() if make().void is not None])
def ignoring(request):
    """A layout with an id for pixels that count for nothing."""
    return available(request.param)


@pytest.mark.parametrize("named", [True, False])
def test_a_tree_gives_its_images_and_masks_by_sorted_name(layout, named, tmp_path):
    tree = TREES[layout]()
    tree.write(tmp_path)
    samples = open_samples(tmp_path, dataset=layout if named else None, split=tree.split)
    assert samples.names == tuple(sorted(tree.images))
    assert (samples.classes, samples.ignore_index) == (tree.classes, tree.void)
    for index, name in enumerate(samples.names):
        image, mask = samples.read(index)
        assert (image.dtype, mask.dtype) == (np.uint8, np.uint8 if tree.classes else np.int64)
        np.testing.assert_array_equal(image, tree.images[name])
        np.testing.assert_array_equal(mask, tree.masks[name])


def test_layout_and_split_may_stand_in_the_path_or_beside_it(layout, tmp_path):
    tree = TREES[layout]()
    tree.write(tmp_path)
    beside = open_samples(tmp_path, dataset=layout, split=tree.split)
    assert open_samples(address(layout, tree, tmp_path)) == beside


def test_the_order_in_which_files_were_made_does_not_matter(layout, tmp_path):
    tree = TREES[layout]()
    forwards, backwards = (
        open_samples(address(layout, tree, tree.write(tmp_path / str(way), backwards=way))) for way in (False, True)
    )
    assert forwards.names == backwards.names
    assert forwards.fingerprint() == backwards.fingerprint()


def test_samples_survive_pickling_and_are_small(layout, tmp_path):
    tree = TREES[layout]()
    samples = open_samples(address(layout, tree, tree.write(tmp_path)))
    assert pickle.loads(pickle.dumps(samples)) == samples
    assert len(pickle.dumps(samples)) < 8192


def test_a_digest_tells_a_change_of_its_image_and_of_its_mask_and_of_no_other_file(layout, tmp_path):
    tree = TREES[layout]()
    samples = open_samples(address(layout, tree, tree.write(tmp_path)))
    before = [samples.digest(index) for index in range(len(samples))]
    whole = samples.fingerprint()
    changes = dict.fromkeys(samples.names, 0)
    for file, content in tree.files.items():
        (tmp_path / file).write_bytes(content + b"\0")
        now = [samples.digest(index) for index in range(len(samples))]
        changed = [name for name, old, new in zip(samples.names, before, now, strict=True) if old != new]
        assert len(changed) <= 1
        assert (samples.fingerprint() != whole) == bool(changed)
        for name in changed:
            changes[name] += 1
        (tmp_path / file).write_bytes(content)
    # The annotations of COCO are read at once, not file by file: test_data_coco.py changes them.
    assert set(changes.values()) == {1 if layout == "coco" else 2}


def test_a_model_gets_the_same_images_with_masks_resized_beside_them(layout, tmp_path):
    tree = TREES[layout]()
    place = address(layout, tree, tree.write(tmp_path))
    inputs = spec()
    recipe = recipe_for(inputs, classes=len(tree.classes) or 3, ignore_index=200)
    dataset = open_dataset(place, recipe, inputs=inputs)
    assert dataset.names == tuple(sorted(tree.images))
    assert pickle.loads(pickle.dumps(dataset)) == dataset
    for index, name in enumerate(dataset.names):
        item = dataset.load(index)
        assert item.tensor.shape == (1, 3, *SIZE)
        # Ignored pixels come with the id that the recipe gives to such.
        mask = np.where(tree.masks[name] == tree.void, 200, tree.masks[name]) if tree.void else tree.masks[name]
        np.testing.assert_array_equal(item.mask, resize_nearest(mask, SIZE))


def test_calibration_takes_the_images_without_masks(layout, tmp_path):
    tree = TREES[layout]()
    place = address(layout, tree, tree.write(tmp_path))
    inputs = spec()
    dataset = open_dataset(place, recipe_for(inputs), inputs=inputs, masks=False, limit=1)
    assert dataset.names == tuple(sorted(tree.images))[:1]
    assert dataset.load(0).mask is None


def test_the_ignored_id_may_be_chosen_but_must_not_be_a_class(ignoring, tmp_path):
    tree = TREES[ignoring]()
    place = address(ignoring, tree, tree.write(tmp_path))
    samples = open_samples(place, ignore_index=77)
    mask = samples.read(0)[1]
    np.testing.assert_array_equal(mask == 77, tree.masks[samples.names[0]] == tree.void)
    assert (mask == 77).any()
    with pytest.raises(DataError, match="ignore_index 1 is class"):
        open_samples(place, ignore_index=1)


def test_a_recipe_that_ignores_nothing_is_refused_where_the_masks_ignore_pixels(layout, tmp_path):
    tree = TREES[layout]()
    place = address(layout, tree, tree.write(tmp_path))
    inputs = spec()
    recipe = recipe_for(inputs, classes=len(tree.classes) or 3)
    if tree.void is None:
        assert open_dataset(place, recipe, inputs=inputs).load(0).mask is not None
        return
    with pytest.raises(DataError, match=f"give ignore_index={tree.void}"):
        open_dataset(place, recipe, inputs=inputs)


def test_fewer_classes_than_the_masks_have_is_one_line(layout, tmp_path):
    tree = TREES[layout]()
    place = address(layout, tree, tree.write(tmp_path))
    samples = open_samples(place, classes=("only",), ignore_index=tree.void)
    with pytest.raises(DataError, match=r"class id \d+ is not in 0…0") as caught:
        list(map(samples.read, range(len(samples))))
    assert "\n" not in str(caught.value)


def test_taking_some_keeps_order_and_meaning(tmp_path):
    tree = TREES["voc"]()
    samples = open_samples(tree.write(tmp_path), split="trainval")
    some = samples.take([3, 1, 1])
    assert some.names == (samples.names[1], samples.names[3])
    assert (some.classes, some.ignore_index) == (samples.classes, samples.ignore_index)
    assert some.fingerprint() != samples.fingerprint()


def test_a_limit_spreads_over_the_names(tmp_path):
    tree = TREES["voc"]()
    assert open_samples(tree.write(tmp_path), split="trainval", limit=2).names == ("2007_000000.png", "2007_000002.png")


def test_images_of_another_size_than_their_mask_are_told(layout, tmp_path):
    tree = TREES[layout]()
    samples = open_samples(address(layout, tree, tree.write(tmp_path)))
    path = samples.rows[0].path
    path.write_bytes(encoded(pixels(1, (7, 9)), path.suffix))
    with pytest.raises(DataError, match=r"mask of 6x8 for .* of 7x9"):
        samples.read(0)


# In COCO an image without annotations is all background.
@pytest.mark.parametrize("layout", [name for name in TREES if name != "coco"])
def test_a_image_without_a_mask_among_others_is_told(layout, tmp_path):
    tree = TREES[layout]()
    tree.write(tmp_path)
    row = open_samples(address(layout, tree, tmp_path)).rows[0]
    row.mask_path.unlink()
    with pytest.raises(DataError, match="has no mask; put it at") as caught:
        open_samples(address(layout, tree, tmp_path))
    assert str(row.path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_training_needs_masks(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(pixels(0)))
    with pytest.raises(DataError, match=r"no masks in it; as images it would hold .*images/ beside masks/"):
        open_samples(tmp_path)


def test_arrays_are_no_images_to_train_on(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 3, 4, 4), np.float32))
    with pytest.raises(DataError, match="arrays are model inputs, not images"):
        open_samples(tmp_path)


def test_planes_are_no_mask_to_train_on(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / "a.png").write_bytes(encoded(pixels(0)))
    np.save(tmp_path / "masks" / "a.npy", np.zeros((2, 6, 8), np.uint8))
    with pytest.raises(DataError, match="3 axes"):
        open_samples(tmp_path).read(0)


def test_wide_ids_keep_their_value(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / "a.png").write_bytes(encoded(pixels(0)))
    np.save(tmp_path / "masks" / "a.npy", ids(0, [1, 2]).astype(np.int32) * 300)
    mask = open_samples(tmp_path, classes=[str(k) for k in range(601)]).read(0)[1]
    assert mask.dtype == np.int64
    np.testing.assert_array_equal(mask, ids(0, [1, 2]).astype(int) * 300)
