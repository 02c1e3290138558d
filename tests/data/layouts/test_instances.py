"""Instances of every layout that has some, as a model's labels."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from quantseg.data import InstanceSample, open_dataset, open_samples
from quantseg.data.drawn_cells import INSTANCE_CLASSES, cell_instances
from quantseg.data.masks import resize_nearest
from quantseg.data.recipe import Recipe, complete, override
from quantseg.errors import DataError
from quantseg.graph import TensorSpec
from tests.support.data_files import SIZE, image, save, spec
from tests.support.data_trees import HEIGHT, VOC, VOC_PALETTE, WIDTH, coco_document, coco_tree, encoded, ids, voc_tree

OUTPUTS = [
    TensorSpec("boxes", "float32", (None, 4)),
    TensorSpec("labels", "int64", (None,)),
    TensorSpec("scores", "float32", (None,)),
    TensorSpec("masks", "float32", (None, 1, 28, 28)),
]


def recipe_for(*classes, size=SIZE) -> Recipe:
    """Of a Mask R-CNN with these classes."""
    return complete(override(Recipe(), classes=list(classes)), [spec(size=size)], OUTPUTS, model="m.onnx")


def loaded(place, *classes, size=SIZE):
    """All items; each must survive a trip to another process."""
    data = open_dataset(place, recipe_for(*classes, size=size), inputs=spec(size=size))
    data = pickle.loads(pickle.dumps(data))
    items = [data.load(index) for index in range(len(data.names))]
    for item in items:
        assert item.instances is None or item.mask.dtype == np.int64
        if item.instances is not None:
            np.testing.assert_array_equal(item.mask, item.instances.planes(len(classes)))
            assert item.instances.masks.shape[1:] == size
    return items


# Drawn cells.


def test_drawn_cells_come_with_their_instances():
    items = loaded("cells:2@96x96#7", *INSTANCE_CLASSES, size=(48, 48))
    for index, item in enumerate(items):
        wanted = cell_instances(7 + index, (96, 96))
        small = resize_nearest(wanted.masks, (48, 48))
        np.testing.assert_array_equal(item.instances.masks, small[small.any(axis=(1, 2))])
        assert len(item.instances) > 0
    samples = open_samples("cells:2@96x96#7")
    assert isinstance(samples.rows[0], InstanceSample)
    assert samples.instance_classes == INSTANCE_CLASSES


def test_without_masks_there_are_no_instances():
    recipe = recipe_for(*INSTANCE_CLASSES)
    item = open_dataset("cells:1@16x16", recipe, inputs=spec(), masks=False).load(0)
    assert (item.mask, item.instances) == (None, None)


# COCO.


@pytest.fixture
def coco(tmp_path):
    pytest.importorskip("pycocotools.mask", reason="masks of coco need pycocotools")
    return coco_tree().write(tmp_path)


def write_index(tree, document):
    (tree / "annotations" / "instances_val2017.json").write_text(json.dumps(document))


def test_coco_keeps_overlapping_instances_and_crowds(coco):
    first, second = loaded(coco, "cat", "dog")
    cat, dog, crowd = np.zeros((3, HEIGHT, WIDTH), bool)
    cat[1:3, 1:3], dog[:4, :4], crowd[:, :5] = True, True, True
    found = first.instances
    assert sorted(zip(found.classes.tolist(), found.crowd.tolist(), strict=True)) == [(0, False), (1, False), (1, True)]
    for number, is_crowd, wanted in ((0, False, cat), (1, False, dog), (1, True, crowd)):
        (mask,) = found.masks[(found.classes == number) & (found.crowd == is_crowd)]
        np.testing.assert_array_equal(mask, wanted)
    np.testing.assert_array_equal(first.mask, [cat, dog])  # a crowd is no instance of its class
    assert len(second.instances) == 0
    assert second.mask.shape == (2, HEIGHT, WIDTH)


def test_the_model_may_have_the_classes_in_another_order(coco):
    first, _ = loaded(coco, "dog", "bird", "cat")
    assert sorted(first.instances.classes.tolist()) == [0, 0, 2]


def test_the_order_of_annotations_does_not_matter(coco):
    before = loaded(coco, "cat", "dog")[0].instances
    document = coco_document()
    write_index(coco, {**document, "annotations": document["annotations"][::-1]})
    after = loaded(coco, "cat", "dog")[0].instances
    np.testing.assert_array_equal(before.masks, after.masks)
    np.testing.assert_array_equal(before.classes, after.classes)


def test_a_file_of_boxes_alone_is_one_line(coco):
    document = coco_document()
    for annotation in document["annotations"]:
        annotation["bbox"] = [0, 0, 1, 1]
        del annotation["segmentation"]
    write_index(coco, document)
    with pytest.raises(DataError, match=r"instances_val2017\.json, a\.png: an annotation has a box and no seg") as one:
        loaded(coco, "cat", "dog")
    assert "\n" not in str(one.value)


def test_an_image_of_another_size_than_the_index_says_is_one_line(coco):
    save(coco / "val2017" / "a.png", image(size=(5, 8)))
    with pytest.raises(DataError, match=r"mask of 6x8 for a\.png of 5x8"):
        loaded(coco, "cat", "dog")


# Pascal VOC.


@pytest.fixture
def voc(tmp_path):
    """Two objects on the border of each other in every image, the right one's class below the left one's."""
    files = dict(voc_tree().files)
    labels, objects = np.full((2, HEIGHT, WIDTH), 0, np.uint8)
    labels[1:5, 1:4], objects[1:5, 1:4] = 15, 1
    labels[1:5, 5:7], objects[1:5, 5:7] = 3, 2
    labels[1:5, 4] = objects[1:5, 4] = 255
    for name in [name for name in files if name.startswith("SegmentationClass/")]:
        files[name] = encoded(labels, palette=VOC_PALETTE)
        files[name.replace("Class", "Object")] = encoded(objects, palette=VOC_PALETTE)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_objects_of_voc_have_the_class_of_their_pixels_and_no_border(voc):
    for item in loaded(f"voc:{voc}#train", *VOC[1:]):
        assert item.instances.classes.tolist() == [14, 2]
        assert item.instances.masks.sum(axis=(1, 2)).tolist() == [12, 8]


def test_masks_of_voc_are_what_they_were(voc):
    """For models that know no instances, an image may lack its objects."""
    for path in (voc / "SegmentationObject").iterdir():
        path.unlink()
    samples = open_samples(voc, split="train")
    assert samples.read(0)[1].max() == 255
    with pytest.raises(DataError, match=r"000\.png: has no instance ids; put them at .*SegmentationObject.*000\.png"):
        loaded(f"voc:{voc}#train", *VOC[1:])


def test_a_link_out_of_the_folder_is_not_followed(voc, tmp_path_factory):
    outside = tmp_path_factory.mktemp("elsewhere") / "ids.png"
    save(outside, ids(0, [0, 1]))
    path = voc / "SegmentationObject" / "2007_000000.png"
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(DataError, match="a symbolic link leads out of the data folder"):
        loaded(f"voc:{voc}#train", *VOC[1:])


# Maps of ids beside images.


def numbers(*values):
    """A map with a stripe of two columns for each of these ids."""
    found = np.zeros(SIZE, np.int64)
    for place, value in enumerate(values):
        found[:, 2 * place : 2 * place + 2] = value
    return found


def written(folder, name, found):
    path = folder / "instances" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, found) if path.suffix == ".npy" else save(path, found)


@pytest.mark.parametrize(
    ("suffix", "dtype", "values"),
    [
        (".png", np.uint8, (1, 2, 255)), (".png", np.uint16, (1, 300, 65_535)), (".npy", np.int32, (1, 65_536, 70_000)),
        (".tif", np.int32, (1, 65_536, 2**31 - 1)), (".npy", np.uint64, (1, 2, 2**64 - 1)),
    ],
)  # fmt: skip
def test_ids_of_any_size_are_read_beside_images(suffix, dtype, values, tmp_path):
    save(tmp_path / "images" / "deep" / "a.png", image())
    found = np.zeros(SIZE, dtype)
    for place, value in enumerate(values):
        found[:, 2 * place : 2 * place + 2] = value
    written(tmp_path, f"deep/a{suffix}", found)
    for place in (tmp_path, tmp_path / "images", f"images:{tmp_path}"):
        (item,) = loaded(place, "thing")
        assert item.instances.classes.tolist() == [0, 0, 0]
        for mask, value in zip(item.instances.masks, values, strict=True):
            np.testing.assert_array_equal(mask, found == np.array(value, dtype))


def test_masks_beside_ids_tell_the_classes(tmp_path):
    for part in ("train", "val"):
        save(tmp_path / part / "images" / "a.png", image())
        written(tmp_path / part, "a.png", numbers(4, 2, 9).astype(np.uint8))
        save(tmp_path / part / "masks" / "a.png", np.repeat(np.array([[2, 2, 1, 1, 2, 2, 0, 0]], np.uint8), 6, axis=0))
    first, second = loaded(tmp_path, "x", "y")
    assert first.instances.classes.tolist() == second.instances.classes.tolist() == [0, 1, 1]
    (one,) = loaded(f"images:{tmp_path}#val", "x", "y")
    assert one.instances.classes.tolist() == [0, 1, 1]


def test_an_image_without_an_instance_is_fine(tmp_path):
    for name, found in (("a", numbers()), ("b", numbers(1))):
        save(tmp_path / "images" / f"{name}.png", image())
        written(tmp_path, f"{name}.png", found.astype(np.uint8))
    assert [len(item.instances) for item in loaded(tmp_path, "thing")] == [0, 1]


def test_ids_alone_are_masks_of_two_classes_for_other_heads(tmp_path):
    save(tmp_path / "images" / "a.png", image())
    written(tmp_path, "a.png", numbers(3, 200).astype(np.uint8))
    samples = open_samples(tmp_path)
    assert samples.classes == ("background", "object")
    np.testing.assert_array_equal(samples.read(0)[1], numbers(1, 1))
    assert len(samples.digest(0)) == 64


def test_masks_alone_give_unions_and_no_instances(tmp_path):
    """Class ids count from 1 there, as heads of instances have no background."""
    save(tmp_path / "images" / "a.png", image())
    save(tmp_path / "masks" / "a.png", numbers(2, 1).astype(np.uint8))
    (item,) = loaded(tmp_path, "x", "y")
    assert item.instances is None
    np.testing.assert_array_equal(item.mask, [numbers(0, 1), numbers(1, 0)])
    save(tmp_path / "masks" / "a.png", numbers(3).astype(np.uint8))
    with pytest.raises(DataError, match="class id 3 is not in 0…2"):
        loaded(tmp_path, "x", "y")


@pytest.mark.parametrize(
    ("files", "fact"),
    [
        ({"a.png": image(9)}, "a colour image"),
        ({"a.npy": np.zeros((2, *SIZE), int)}, "axes"),
        ({"a.npy": np.full(SIZE, -2)}, "instance id -2 is negative"),
        ({"a.npy": np.zeros(SIZE, np.float32)}, "float32 values"),
        ({"a.png": np.zeros((5, 8), np.uint8)}, "mask of 5x8 for a.png of 6x8"),
        ({"a.png": np.zeros(SIZE, np.uint8), "a.npy": np.zeros(SIZE, int)}, "has two masks|lies beside it"),
        ({"b.png": np.zeros(SIZE, np.uint8)}, "has no mask; put it at|has no instance ids; put them at"),
    ],
)
@pytest.mark.parametrize("with_masks", [False, True])
def test_a_file_that_holds_no_ids_is_one_line(files, fact, with_masks, tmp_path):
    save(tmp_path / "images" / "a.png", image())
    if with_masks:
        save(tmp_path / "masks" / "a.png", np.ones(SIZE, np.uint8))
    for name, content in files.items():
        written(tmp_path, name, content)
    with pytest.raises(DataError, match=fact) as one:
        loaded(tmp_path, "thing")
    assert "\n" not in str(one.value)
    if with_masks:  # other heads do not ask for ids
        assert open_samples(tmp_path).read(0)[1].min() == 1


def test_an_instance_on_no_class_is_one_line(tmp_path):
    save(tmp_path / "images" / "a.png", image())
    save(tmp_path / "masks" / "a.png", numbers(1, 0).astype(np.uint8))
    written(tmp_path, "a.png", numbers(1, 2).astype(np.uint8))
    with pytest.raises(DataError, match=r"a\.png: instance 2 covers no class of the class mask"):
        loaded(tmp_path, "thing")


def test_a_folder_of_ids_is_no_folder_of_images(tmp_path):
    for part in ("train", "val"):
        save(tmp_path / part / "images" / "a.png", image())
        written(tmp_path / part, "a.png", numbers(1).astype(np.uint8))
    data = open_dataset(tmp_path, replace(recipe_for("thing")), inputs=spec(), masks=False)
    assert data.names == ("train/images/a.png", "val/images/a.png")
