"""Images as a caller has them, opened as a model takes them."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from quantseg.data import Subset, open_dataset
from quantseg.data.sources import Arrays, opener
from quantseg.errors import DataError
from tests.support.candidates import Tensors
from tests.support.data_files import SIZE, image, recipe_for, save, spec

INPUT = spec()
RECIPE = recipe_for(INPUT)
ARRAYS = [np.random.default_rng(seed).random((1, 3, *SIZE), np.float32) for seed in range(3)]
MASKS = [np.random.default_rng(seed).integers(0, 3, SIZE) for seed in range(3)]


def opened(data: object, **how: Any) -> Any:
    return opener(data, **how)(RECIPE, INPUT)


def held(dataset: Any) -> list[tuple[np.ndarray, np.ndarray | None]]:
    items = [dataset.load(index) for index in range(len(dataset.names))]
    assert [item.name for item in items] == list(dataset.names) == sorted(dataset.names)
    assert all(item.image is None for item in items)
    return [(item.tensor, item.mask) for item in items]


def assert_holds(dataset: Any, masks: bool) -> None:
    """The three arrays, each with a batch axis of one, and their masks where there are any."""
    found = held(dataset)
    assert len(found) == 3
    for (tensor, mask), array, labels in zip(found, ARRAYS, MASKS, strict=True):
        np.testing.assert_array_equal(tensor, array)
        assert tensor.dtype == array.dtype
        assert (mask is None) != masks
        if mask is not None:
            np.testing.assert_array_equal(mask, labels)
            assert mask.dtype == np.int64


class Loader:
    """What a torch DataLoader gives: batches of tensors, the last one smaller; gone through any number of times."""

    def __init__(self, *, masks: bool) -> None:
        self.masks = masks

    def __iter__(self) -> Iterator[Any]:
        for rows in (slice(0, 2), slice(2, 3)):
            images = _FakeTensor(np.concatenate(ARRAYS[rows]))
            yield [images, _FakeTensor(np.stack(MASKS[rows]).astype(np.uint8))] if self.masks else images


class _FakeTensor:
    """As a torch tensor on a device: numpy takes it only once it is detached and on the processor."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.ready = values, False

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def detach(self) -> "_FakeTensor":
        return self

    def cpu(self) -> "_FakeTensor":
        self.ready = True
        return self

    def numpy(self) -> np.ndarray:
        assert self.ready
        return self.values


SOURCES = {
    "arrays with a batch axis": (ARRAYS, False),
    "arrays without one": ([array[0] for array in ARRAYS], False),
    "one array of all": ([np.concatenate(ARRAYS)], False),
    "a generator": ((array for array in list(ARRAYS)), False),
    "pairs": (list(zip(ARRAYS, MASKS, strict=True)), True),
    "pairs without a batch axis": ([(array[0], mask) for array, mask in zip(ARRAYS, MASKS, strict=True)], True),
    "batches of a loader": (Loader(masks=False), False),
    "batches of a loader with masks": (Loader(masks=True), True),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_kind_of_arrays_is_the_same_data(name: str) -> None:
    data, masks = SOURCES[name]
    assert_holds(opened(data), masks)


def test_a_folder_is_a_path_in_words_or_not(tmp_path: Any) -> None:
    for number in range(3):
        save(tmp_path / f"images/{number}.png", image(number))
        save(tmp_path / f"masks/{number}.png", np.full(SIZE, number, np.uint8))
    expected = open_dataset(tmp_path, RECIPE, inputs=INPUT, masks=False)
    for data in (tmp_path, str(tmp_path), f"images:{tmp_path}"):
        found = opened(data)
        assert found.names == expected.names
        assert [found.digest(k) for k in range(3)] == [expected.digest(k) for k in range(3)]
        np.testing.assert_array_equal(found.load(1).tensor, expected.load(1).tensor)
        assert found.load(1).mask is None
    assert (opened(str(tmp_path), masks=True).load(1).mask == 1).all()
    assert opened(str(tmp_path), limit=2).names == open_dataset(tmp_path, RECIPE, inputs=INPUT, limit=2).names


def test_a_folder_is_opened_as_each_model_takes_it(tmp_path: Any) -> None:
    """One opener serves the float model and the folded one, which take the same images otherwise."""
    save(tmp_path / "0.png", image())
    images = opener(tmp_path)
    other = spec(layout="NHWC")
    first, second = images(RECIPE, INPUT), images(recipe_for(other), other)
    assert first.load(0).tensor.shape == (1, 3, *SIZE)
    assert second.load(0).tensor.shape == (1, *SIZE, 3)
    assert first.digest(0) == second.digest(0)


def test_a_data_set_is_taken_as_it_is() -> None:
    data = Tensors(ARRAYS)
    assert opened(data) is data
    few = opened(data, limit=2)
    assert isinstance(few, Subset)
    assert len(few.names) == 2
    assert set(few.names) < set(data.names)


def test_limit_spreads_arrays_evenly() -> None:
    many = [np.full((1, 3, *SIZE), k, np.float32) for k in range(10)]
    taken = [int(tensor[0, 0, 0, 0]) for tensor, _ in held(opened(many, limit=5))]
    assert len(taken) == 5
    assert max(np.diff(taken)) <= 3
    assert len(opened(many, limit=99).names) == 10


def test_arrays_are_known_by_type_shape_and_numbers() -> None:
    """So the same one twice is told, and the name of a calibration's image follows from its place alone."""
    base = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    others = [base, base.copy(), base + 1, base.reshape(1, 3, 4, 1), base.astype(np.float64), base[:, :, ::-1]]
    digests = [Arrays.of([one]).digest(0) for one in others]
    assert digests[0] == digests[1]
    assert len(set(digests)) == len(digests) - 1
    assert digests[0] == hashlib.sha256(b"float32 (1, 3, 2, 2)" + base.tobytes()).hexdigest()


def test_names_sort_as_the_arrays_stand() -> None:
    names = Arrays.of([ARRAYS[0]] * 12).names
    assert list(names) == sorted(names)
    assert len(set(names)) == 12


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "data=int: is no data; give a folder, a Dataset or an iterable of arrays"),
        (None, "data=NoneType: is no data"),
        ([np.zeros(4, np.float32)], "data: array 0 has 1 axes; give model inputs of 4 axes, or 3 without batch"),
        ([ARRAYS[0], np.zeros((1, 1, 1, 3, 4, 4), np.float32)], "data: array 1 has 6 axes"),
        ([object()], "data: entry 0 is no array but object"),
        ([{"x": {}}], "data: entry 0 is no array but dict"),
        ([{"img": ARRAYS[0]}], "data: entry 0 holds 'img' and not input 'x' float32 1x3x6x8; name the array so"),
        ([{}], "data: entry 0 holds nothing and not input 'x' float32 1x3x6x8; name the array so"),
    ],
)
def test_what_is_no_data_is_one_line(data: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        opened(data)
    assert "\n" not in str(error.value)


def test_a_batch_with_another_number_of_masks_is_one_line() -> None:
    for masks in (MASKS[:2], MASKS[:1]):
        with pytest.raises(
            DataError, match=rf"data: entry 0 has 3 images and {len(masks)} masks; give a mask for each"
        ):
            opened([(np.concatenate(ARRAYS), np.stack(masks))])


def test_masks_of_many_classes_go_with_their_image() -> None:
    many = [np.stack([mask == k for k in range(3)]) for mask in MASKS]
    for data in (list(zip(ARRAYS, many, strict=True)), [(np.concatenate(ARRAYS), np.stack(many))]):
        for (_, found), mask in zip(held(opened(data)), many, strict=True):
            np.testing.assert_array_equal(found, mask)


def test_nothing_is_no_images() -> None:
    assert opened([]).names == ()
