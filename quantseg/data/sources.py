"""What callers may give as data (a folder, an address, a dataset, arrays in memory), opened as a Dataset."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from quantseg.data import Address, Dataset, Item, Subset, open_dataset
from quantseg.data.folder import choose
from quantseg.data.layouts.arrays import first_array_shape
from quantseg.data.model_inputs import ModelInputs, with_all_inputs
from quantseg.data.recipe import Recipe
from quantseg.errors import DataError
from quantseg.graph import TensorSpec

Opener = Callable[[Recipe, ModelInputs | TensorSpec], Dataset]
"""(completed recipe, the model's inputs) → the data as a Dataset for that model. A spec is that of its only input."""


def opener(data: object, *, limit: int | None = None, masks: bool = False, follow_links: bool = False) -> Opener:
    """The opener of `data`: a path, an address (camvid:roads#train), a Dataset, an iterable of arrays, or an opener.

    An array is the model's input, with or without a batch axis; a dict holds several inputs by name; a pair is either
    and its mask; a torch DataLoader yields batches of any of these. limit: at most so many items, evenly spread.
    masks: whether to look for masks. follow_links: whether symbolic links may lead out of the folder. Anything else
    raises DataError, some of it only when it is opened.
    """
    if callable(data):
        return cast("Opener", data)
    if isinstance(data, (str, Path)):
        where = Address(Path(data), follow_links=follow_links)
        return lambda recipe, inputs: open_dataset(where, recipe, inputs=inputs, limit=limit, masks=masks)
    entries = data if _is_dataset(data) or not isinstance(data, Iterable) else list(data)
    named = isinstance(entries, list) and any(isinstance(_parted(entry)[0], Mapping) for entry in entries)
    known = None if named else _limited(entries, limit)

    def opened(recipe: Recipe, inputs: ModelInputs | TensorSpec) -> Dataset:
        every = ModelInputs.of(inputs)
        return with_all_inputs(_limited(Arrays.of(entries, every), limit) if known is None else known, every)

    return opened


def array_shape(data: object) -> tuple[int, ...] | None:
    """The shape of the first model input of `data`, where it is a folder of arrays or a sequence of them, else None.

    Only the header of a file is read. A damaged file, or one that is missing, is left to the opener, which says so.
    """
    if isinstance(data, (str, Path)):
        try:
            return first_array_shape(Path(data))
        except (DataError, OSError):
            return None
    first = data[0] if isinstance(data, (list, tuple)) and data else None
    array = first[0] if isinstance(first, (list, tuple)) and first else first
    shape = getattr(array, "shape", None)
    return None if shape is None else tuple(map(int, shape))


def _is_dataset(data: object) -> bool:
    return all(hasattr(data, name) for name in ("names", "digest", "load"))


def _limited(data: object, limit: int | None) -> Dataset:
    known: Dataset = cast("Dataset", data) if _is_dataset(data) else Arrays.of(data)
    return known if limit is None else Subset(known, choose(tuple(range(len(known.names))), limit))


@dataclass(frozen=True, eq=False)
class Arrays:
    """Model inputs in memory, each with a batch axis of length 1, and their masks where there are any.

    others: for each, the model's other inputs by name; empty without such.
    """

    tensors: tuple[NDArray[Any], ...]
    masks: tuple[NDArray[np.int64] | None, ...]
    others: tuple[Mapping[str, NDArray[Any]], ...] = field(default=())

    @staticmethod
    def of(data: object, inputs: ModelInputs | None = None) -> "Arrays":
        """From an iterable of arrays, of (array, mask) pairs, or of batches of them. Raises DataError.

        inputs: of the model, if an array may also be a dict with the inputs by name, whose other keys are left out.
        """
        if not isinstance(data, Iterable):
            raise DataError(
                f"data={type(data).__name__}: is no data; give a folder, a Dataset or an iterable of arrays"
            )
        found = [one for number, entry in enumerate(data) for one in _items(entry, number, inputs)]
        tensors, masks, others = (tuple(part) for part in zip(*found, strict=True)) if found else ((), (), ())
        return Arrays(tensors, masks, others if any(others) else ())

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names from the position, so that sorting keeps the order."""
        return tuple(f"array {number:06d}" for number in range(len(self.tensors)))

    def digest(self, index: int) -> str:
        """SHA-256 of dtype, shape and elements, and of name, dtype, shape and elements of the other inputs."""
        tensor, others = self.tensors[index], self._others(index)
        total = hashlib.sha256(f"{tensor.dtype} {tensor.shape}".encode() + np.ascontiguousarray(tensor).tobytes())
        for name, array in sorted(others.items()):
            total.update(f"{name!r} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return total.hexdigest()

    def load(self, index: int) -> Item:
        """The array, unchanged, with its mask."""
        return Item(self.names[index], self.tensors[index], None, self.masks[index], self._others(index))

    def _others(self, index: int) -> Mapping[str, NDArray[Any]]:
        return self.others[index] if self.others else {}


_Row = tuple[NDArray[Any], NDArray[np.int64] | None, Mapping[str, NDArray[Any]]]


def _parted(entry: object) -> tuple[object, object]:
    """An entry's model input, or inputs, and its mask; None without one."""
    return tuple(entry) if isinstance(entry, (tuple, list)) and len(entry) == 2 else (entry, None)


def _items(entry: object, number: int, inputs: ModelInputs | None) -> list[_Row]:
    """The arrays, masks and other inputs of one entry of the iterable, a row for each image of its batch."""
    given, mask = _parted(entry)
    others: dict[TensorSpec, NDArray[Any]] = {}
    if isinstance(given, Mapping) and inputs is not None:
        name = inputs.image.name
        if name not in given:
            held = ", ".join(map(repr, given)) or "nothing"
            raise DataError(f"data: entry {number} holds {held} and not input {inputs.image}; name the array so")
        others = {spec: _array(given[spec.name], number) for spec in inputs.others if spec.name in given}
        given = given[name]
    tensor, labels = _array(given, number), None if mask is None else _array(mask, number)
    if tensor.ndim == 3:
        row = {spec.name: array[None] if array.ndim + 1 == len(spec.shape) else array for spec, array in others.items()}
        return [(tensor[None], None if labels is None else labels.astype(np.int64), row)]
    if tensor.ndim not in (4, 5):
        raise DataError(f"data: array {number} has {tensor.ndim} axes; give model inputs of 4 axes, or 3 without batch")
    count = len(tensor)
    return [
        (tensor[row : row + 1], mask, {spec.name: _row_of(array, spec, row, count) for spec, array in others.items()})
        for row, mask in enumerate(_masks(labels, count, number))
    ]


def _row_of(array: NDArray[Any], spec: TensorSpec, row: int, count: int) -> NDArray[Any]:
    """What image `row` of a batch has of another input; an array that is declared without the batch is of all images.

    count: of images in the batch.
    """
    batched = array.ndim == len(spec.shape) > 0 and len(array) == count and spec.shape[0] in (None, 1)
    return array[row : row + 1] if batched else array


def _masks(labels: NDArray[Any] | None, count: int, number: int) -> list[NDArray[np.int64] | None]:
    """The masks of `count` images. The mask of a single image may lack the batch axis."""
    if labels is None:
        return [None] * count
    each = labels[None] if count == 1 and len(labels) != 1 else labels
    if len(each) != count:
        raise DataError(f"data: entry {number} has {count} images and {len(each)} masks; give a mask for each image")
    return [mask.astype(np.int64) for mask in each]


def _array(value: object, number: int) -> NDArray[Any]:
    """A numpy array from an array, or from a torch tensor by its method `numpy`."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype == object:
        raise DataError(f"data: entry {number} is no array but {type(value).__name__}; give arrays or folders")
    return array
