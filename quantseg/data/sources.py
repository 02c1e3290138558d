"""What callers may give as data (a folder, an address, a dataset, arrays in memory), opened as a Dataset."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from quantseg.data import Address, Dataset, Item, Subset, open_dataset
from quantseg.data.folder import choose
from quantseg.data.recipe import Recipe
from quantseg.errors import DataError
from quantseg.graph import TensorSpec

Opener = Callable[[Recipe, TensorSpec], Dataset]
"""(completed recipe, the model's input) → the data as a Dataset for that model."""


def opener(data: object, *, limit: int | None = None, masks: bool = False, follow_links: bool = False) -> Opener:
    """The opener of `data`: a path, an address (camvid:roads#train), a Dataset, an iterable of arrays, or an opener.

    An array is an input of the model, with or without a batch axis; a pair is an array and its mask; a torch DataLoader
    yields batches of either. limit: at most so many items, evenly spread. masks: whether to look for masks.
    follow_links: whether symbolic links may lead out of the folder. Anything else raises DataError, some of it only
    when it is opened.
    """
    if callable(data):
        return cast("Opener", data)
    if isinstance(data, (str, Path)):
        where = Address(Path(data), follow_links=follow_links)
        return lambda recipe, spec: open_dataset(where, recipe, inputs=spec, limit=limit, masks=masks)
    known: Dataset = cast("Dataset", data) if _is_dataset(data) else Arrays.of(data)
    few = known if limit is None else Subset(known, choose(tuple(range(len(known.names))), limit))
    return lambda recipe, spec: few


def _is_dataset(data: object) -> bool:
    return all(hasattr(data, name) for name in ("names", "digest", "load"))


@dataclass(frozen=True, eq=False)
class Arrays:
    """Model inputs in memory, each with a batch axis of length 1, and their masks where there are any."""

    tensors: tuple[NDArray[Any], ...]
    masks: tuple[NDArray[np.int64] | None, ...]

    @staticmethod
    def of(data: object) -> "Arrays":
        """From an iterable of arrays, of (array, mask) pairs, or of batches of them. Raises DataError."""
        if not isinstance(data, Iterable):
            raise DataError(
                f"data={type(data).__name__}: is no data; give a folder, a Dataset or an iterable of arrays"
            )
        found = [one for number, entry in enumerate(data) for one in _items(entry, number)]
        return Arrays(tuple(tensor for tensor, _ in found), tuple(mask for _, mask in found))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names from the position, so that sorting keeps the order."""
        return tuple(f"array {number:06d}" for number in range(len(self.tensors)))

    def digest(self, index: int) -> str:
        """SHA-256 of dtype, shape and elements."""
        tensor = self.tensors[index]
        head = f"{tensor.dtype} {tensor.shape}".encode()
        return hashlib.sha256(head + np.ascontiguousarray(tensor).tobytes()).hexdigest()

    def load(self, index: int) -> Item:
        """The array, unchanged, with its mask."""
        return Item(self.names[index], self.tensors[index], None, self.masks[index])


def _items(entry: object, number: int) -> list[tuple[NDArray[Any], NDArray[np.int64] | None]]:
    """The arrays and masks of one entry of the iterable, one pair for each image of its batch."""
    pair = isinstance(entry, (tuple, list)) and len(entry) == 2
    tensor = _array(entry[0] if pair else entry, number)  # type: ignore[index]
    labels = _array(entry[1], number) if pair else None  # type: ignore[index]
    if tensor.ndim == 3:
        return [(tensor[None], None if labels is None else labels.astype(np.int64))]
    if tensor.ndim != 4:
        raise DataError(f"data: array {number} has {tensor.ndim} axes; give model inputs of 4 axes, or 3 without batch")
    return [(tensor[row : row + 1], mask) for row, mask in enumerate(_masks(labels, len(tensor), number))]


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
