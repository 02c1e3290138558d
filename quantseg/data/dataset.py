"""What a data set is: named items, each loaded when it is asked for."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import DataError


@dataclass(frozen=True, eq=False)
class Item:
    """One input of the model.

    tensor: the model's input as it is fed, batch axis included.
    image: the image at the model's size, uint8 (H, W, 3) RGB, or None where the item was an array.
    mask: at the tensor's height and width, int64 class ids (H, W), or (classes, H, W) of zeros and ones
    where the head's masks overlap; None without masks.
    """

    name: str
    tensor: NDArray[Any]
    image: NDArray[np.uint8] | None
    mask: NDArray[np.int64] | None


class Dataset(Protocol):
    """A folder seen as model inputs. Small and picklable: it holds names, not pixels."""

    @property
    def names(self) -> tuple[str, ...]:
        """Posix paths relative to the folder, sorted."""

    def digest(self, index: int) -> str:
        """SHA-256 of the file's bytes, hexadecimal. Raises DataError."""

    def load(self, index: int) -> Item:
        """Reads and prepares one item. Raises DataError that names the file."""


@dataclass(frozen=True)
class Subset:
    """Some items of a data set, in the order of `indices`."""

    dataset: Dataset
    indices: tuple[int, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.dataset.names[index] for index in self.indices)

    def digest(self, index: int) -> str:
        """As the whole data set's."""
        return self.dataset.digest(self.indices[index])

    def load(self, index: int) -> Item:
        """As the whole data set's."""
        return self.dataset.load(self.indices[index])


@dataclass(frozen=True)
class NoImages:
    """A data set without items, for work that looks at no image."""

    names: tuple[str, ...] = ()

    def digest(self, index: int) -> str:
        """Raises DataError."""
        raise DataError("there are no images")

    def load(self, index: int) -> Item:
        """Raises DataError."""
        raise DataError("there are no images")
