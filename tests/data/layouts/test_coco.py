"""Layout coco: masks from instances; the oracles are pycocotools' own decoder and its reading of the index."""

import importlib.util
import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.data import open_dataset, open_samples
from quantseg.data.layouts import coco_index, coco_masks
from quantseg.data.layouts.coco_index import CocoImage
from quantseg.data.layouts.coco_masks import paint
from quantseg.errors import DataError
from quantseg.files import limits
from tests.support.data_files import recipe_for, spec
from tests.support.data_trees import HEIGHT, WIDTH, coco_document, coco_tree, encoded, pixels, rectangle, run_lengths

pycocotools_mask = pytest.importorskip("pycocotools.mask", reason="masks of coco need pycocotools")

SIZE = (9, 13)


@pytest.fixture
def tree(tmp_path):
    return coco_tree().write(tmp_path)


def write_index(tree, document):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    (tree / "annotations" / "instances_val2017.json").write_bytes(text)


def region_of(segmentation, size=SIZE):
    """What a segmentation covers, by way of the mask of one instance."""
    text = json.dumps([1, 0, segmentation], separators=(",", ":"))
    return paint(CocoImage("a.png", *size, (text,)), 255, place="index") == 1


def decoded(rle):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its own, of numpy 2
        return pycocotools_mask.decode(rle).astype(bool)


coordinates = st.floats(-3, 16, width=32)
polygons = st.lists(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=6), min_size=1, max_size=3)
regions = st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).random(SIZE) < (seed % 11) / 10)


@given(polygons)
def test_polygons_cover_what_pycocotools_says(points):
    flat = [[value for point in polygon for value in point] for polygon in points]
    expected = decoded(pycocotools_mask.merge(pycocotools_mask.frPyObjects(flat, *SIZE)))
    np.testing.assert_array_equal(region_of(flat), expected)


@given(regions)
def test_run_lengths_as_numbers_and_as_text_cover_the_region(region):
    text = pycocotools_mask.encode(np.asfortranarray(region.astype(np.uint8)))["counts"].decode()
    np.testing.assert_array_equal(region_of({"size": [*SIZE], "counts": run_lengths(region)}), region)
    np.testing.assert_array_equal(region_of({"size": [*SIZE], "counts": text}), region)


def test_long_run_lengths_as_text():
    region = np.zeros((300, 400), bool)
    region[150:, 399] = True
    text = pycocotools_mask.encode(np.asfortranarray(region.astype(np.uint8)))["counts"].decode()
    np.testing.assert_array_equal(region_of({"size": [300, 400], "counts": text}, (300, 400)), region)


@given(st.lists(st.tuples(st.integers(1, 5), regions), max_size=5), st.permutations(range(5)))
def test_the_instance_of_fewest_pixels_is_on_top_in_any_order(instances, order):
    def painted(chosen):
        texts = sorted(json.dumps([k, 0, {"size": [*SIZE], "counts": run_lengths(r)}]) for k, r in chosen)
        return paint(CocoImage("a.png", *SIZE, tuple(texts)), 255, place="index")

    found = painted(instances)
    np.testing.assert_array_equal(found, painted([instances[k] for k in order if k < len(instances)]))
    for y, x in np.ndindex(SIZE):
        sizes = [(r.sum(), k) for k, r in instances if r[y, x]]
        assert found[y, x] in ({k for size, k in sizes if size == min(sizes)[0]} if sizes else {0})


def test_the_order_in_the_index_does_not_matter(tree):
    before = open_samples(tree)
    digest = before.fingerprint()
    document = coco_document()
    write_index(tree, {key: rows[::-1] for key, rows in reversed(document.items())})
    assert open_samples(tree) == before
    assert open_samples(tree).fingerprint() == digest


def test_a_digest_tells_a_change_of_the_annotations_of_its_image_only(tree):
    before = open_samples(tree)
    document = coco_document()
    document["annotations"][0]["category_id"] = 18
    write_index(tree, document)
    after = open_samples(tree)
    assert before.digest(0) != after.digest(0)
    assert before.digest(1) == after.digest(1)


@pytest.mark.parametrize("folder", ["val2017", "images/val2017", "images", "."])
def test_images_lie_in_one_of_the_usual_folders(folder, tmp_path):
    tree = coco_tree()
    for name, content in tree.files.items():
        place = tmp_path / name.replace("val2017/", f"{folder}/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    np.testing.assert_array_equal(open_samples(tmp_path).read(0)[0], tree.images["a.png"])


def test_annotations_are_not_looked_at_without_masks(tree):
    document = coco_document()
    document["annotations"] = [{"segmentation": "nonsense"}]
    write_index(tree, document)
    inputs = spec()
    assert open_dataset(tree, recipe_for(inputs), inputs=inputs, masks=False).names == ("a.png", "b.png")
    with pytest.raises(DataError, match="image_id is no whole number"):
        open_samples(tree)


def test_many_categories_leave_an_id_for_ignored_pixels(tree):
    document = coco_document()
    document["categories"] += [{"id": 100 + k, "name": f"thing {k}"} for k in range(300)]
    write_index(tree, document)
    samples = open_samples(tree)
    assert samples.ignore_index == 65535
    mask = samples.read(0)[1]
    assert mask.dtype == np.int64
    assert set(np.unique(mask)) == {0, 1, 2, 65535}


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "..\\secret.png", "a/../../secret.png", "", "x\ny"])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(tree, name):
    (tree / "secret.png").write_bytes(encoded(pixels(0)))
    for position in (0, 1):
        document = coco_document()
        document["images"][position]["file_name"] = name
        write_index(tree, document)
        with pytest.raises(DataError, match=r"instances_val2017\.json: names a file .* outside the folder") as caught:
            open_samples(tree)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "é" * 130, "a/" * 600 + "b.png"])
def test_a_file_name_longer_than_names_can_be_is_refused(tree, name):
    document = coco_document()
    document["images"][0]["file_name"] = name
    write_index(tree, document)
    with pytest.raises(DataError, match="longer than names can be; correct the list") as caught:
        open_samples(tree)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "\ud800"])
def test_a_category_that_cannot_be_printed_is_refused(tree, name):
    document = coco_document()
    document["categories"][0]["name"] = name
    write_index(tree, document)
    with pytest.raises(DataError, match="is not printable") as caught:
        open_samples(tree)
    assert str(caught.value).isprintable()


def without(key, row, field):
    def change(document):
        del document[key][row][field]

    return change


def changed(key, row, field, value):
    def change(document):
        document[key][row][field] = value

    return change


def replaced(key, value):
    return lambda document: document.__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (without("images", 0, "file_name"), "file_name is no text"),
        (changed("images", 0, "file_name", 7), "file_name is no text"),
        (changed("images", 0, "id", "20"), "id is no whole number"),
        (changed("images", 0, "id", True), "id is no whole number"),
        (changed("images", 0, "id", 10), "has an image twice"),
        (changed("images", 0, "file_name", "a.png"), "has an image twice"),
        (changed("images", 0, "file_name", "c.png"), "lists 'c.png'"),
        (changed("images", 0, "height", 0), "an image of 0x8"),
        (changed("images", 0, "height", 10**12), "an image of 1000000000000x8"),
        (without("images", 0, "width"), "width is no whole number"),
        (replaced("images", []), "has no images"),
        (replaced("images", {}), "images is no list of objects"),
        (replaced("annotations", [1]), "annotations is no list of objects"),
        (lambda document: document.pop("annotations"), "annotations is no list of objects"),
        (replaced("categories", []), "not 1 to 4096"),
        (changed("categories", 0, "id", 3), "ids of categories are double"),
        (changed("categories", 0, "name", "cat"), "two categories have one name"),
        (changed("categories", 0, "name", "background"), "one is called 'background'"),
        (
            replaced("categories", [{"id": k, "name": str(k)} for k in range(limits.COCO_CATEGORIES + 1)]),
            "not 1 to 4096",
        ),
        (changed("annotations", 0, "category_id", 99), "category_id 99, which is not in the file"),
        (changed("annotations", 0, "image_id", 99), "image_id 99, which is not in the file"),
        (changed("annotations", 0, "iscrowd", 2), "iscrowd is neither 0 nor 1"),
        (changed("annotations", 0, "iscrowd", []), "iscrowd is neither 0 nor 1"),
    ],
)
def test_an_index_that_contradicts_itself_is_one_line(tree, change, fact):
    document = coco_document()
    change(document)
    write_index(tree, document)
    with pytest.raises(DataError) as caught:
        open_samples(tree)
    assert "instances_val2017.json" in str(caught.value)
    assert fact in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "no COCO index"),
        (b'{"images": [', "no COCO index"),
        (b"[]", "no object at its top"),
        (b"\xff\xfe{}", "no UTF-8 text"),
        (b"[" * 100_000, "lists within lists without end"),
        (b'{"images": [NaN]}', "NaN is no number"),
        (b'{"images": [' + b"1" * 10_000 + b"]}", "no COCO index"),
    ],
)
def test_damaged_json_is_one_line(tree, content, fact):
    write_index(tree, content)
    with pytest.raises(DataError) as caught:
        open_samples(tree)
    assert fact in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_an_index_with_a_flipped_byte_is_read_or_refused(tmp_path_factory, place, byte):
    tree = coco_tree().write(tmp_path_factory.mktemp("coco"))
    content = bytearray(json.dumps(coco_document()).encode())
    content[place % len(content)] = byte
    write_index(tree, bytes(content))
    try:
        samples = open_samples(tree)
        for index in range(len(samples)):
            samples.read(index)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("bound", "fact"), [("COCO_BYTES", "is larger than"), ("COCO_LISTS", "memory"), ("COCO_VALUES", "memory")]
)
def test_a_huge_index_is_refused_before_memory_is_taken(tree, bound, fact, monkeypatch):
    monkeypatch.setattr(limits, bound, 10)
    monkeypatch.setattr(coco_index.json, "loads", lambda *_, **__: pytest.fail("was parsed"))
    with pytest.raises(DataError, match=fact):
        open_samples(tree)


FULL = HEIGHT * WIDTH


@pytest.mark.parametrize(
    ("segmentation", "fact"),
    [
        (None, "a box and no segmentation"),
        ("text", "neither polygons nor run lengths"),
        ({"counts": [FULL]}, "neither polygons nor run lengths of the image's size"),
        ({"size": [WIDTH, HEIGHT], "counts": [FULL]}, "of the image's size"),
        ({"size": [HEIGHT, WIDTH]}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": [FULL + 1]}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": [FULL + 5, -5]}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": [10**30, -(10**30) + FULL]}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": [48.0]}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": "o" * 40}, "no such text"),
        ({"size": [HEIGHT, WIDTH], "counts": "o"}, "end too early"),
        ({"size": [HEIGHT, WIDTH], "counts": "é"}, "no such text"),
        ({"size": [HEIGHT, WIDTH], "counts": "0"}, "do not add up"),
        ([[0, 0, 1, 1]], "three points"),
        ([[0, 0, 1, 1, 2, 2, 3]], "three points"),
        ([7], "three points"),
        ([[0, 0, 1, 1, 2, "2"]], "more than numbers"),
        ([[0, 0, 1, 1, 2, True]], "more than numbers"),
        ([[0, 0, 1, 1, 2, 1e9]], "far outside"),
        ([[0, 0, 1, 1, 2, -1e300]], "far outside"),
        ([[0, 0, 1, 1, 2, 10**400]], "far outside"),
        ([[0, 0, 1, 1, 2, float("inf")]], "far outside"),
        ([rectangle(0, 0, 6, 8) * 40_000], "an outline is longer than 1,048,576 pixels"),
        ([rectangle(0, 0, 6, 8)] * 40_000, "an outline is longer"),
    ],
)
def test_a_segmentation_that_is_none_is_one_line(segmentation, fact):
    with pytest.raises(DataError) as caught:
        region_of(segmentation, (HEIGHT, WIDTH))
    assert str(caught.value).startswith("index: ")
    assert fact in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_segmentation_that_is_none_names_index_and_image(tree):
    document = coco_document()
    document["annotations"][0]["segmentation"] = [[1, 2, 3]]
    write_index(tree, document)
    with pytest.raises(DataError, match=r"instances_val2017\.json, a\.png: a polygon has not three points"):
        open_samples(tree).read(0)


@pytest.mark.parametrize("depth", [500, 100_000])
def test_lists_within_lists_are_one_line(depth):
    text = '[1,0,{"size":[9,13],"counts":' + "[" * depth + "]" * depth + "}]"
    with pytest.raises(DataError, match=r"lists within lists|do not add up"):
        paint(CocoImage("a.png", *SIZE, (text,)), 255, place="index")


def test_an_object_of_no_polygons_covers_nothing():
    assert not region_of([]).any()


def test_without_pycocotools_masks_are_one_line_and_images_open(tree, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        coco_masks.importlib.util, "find_spec", lambda name: None if name == "pycocotools" else find(name)
    )
    with pytest.raises(DataError, match=r"pip install 'quantseg\[coco\]'"):
        open_samples(tree)
    inputs = spec()
    assert open_dataset(tree, recipe_for(inputs), inputs=inputs, masks=False).load(0).mask is None


def test_pycocotools_reads_the_same_masks_from_the_index(tree):
    from pycocotools.coco import COCO

    index = COCO(tree / "annotations" / "instances_val2017.json")
    (cat,) = (a for a in index.loadAnns(index.getAnnIds(imgIds=10, catIds=3)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        expected = index.annToMask(cat).astype(bool)
    np.testing.assert_array_equal(open_samples(tree).read(0)[1] == 1, expected)
