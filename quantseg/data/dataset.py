"""Datasets: named items, each loaded on demand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantseg.data.instances import Instances
from quantseg.errors import DataError


@dataclass(frozen=True, eq=False)
class Item:
    """What the model is given once.

    tensor: the input that takes the image, batch axis included. image: the image at the model's size, uint8 (H, W, 3)
    RGB, or None where the item was an array. mask: at the tensor's height and width, int64 class ids (H, W), or
    (classes, H, W) of zeros and ones where the output head's masks overlap; None without masks. others: the model's
    other inputs, by name. instances: the labelled instances, at the mask's size, for heads of instances; None without.
    """

    name: str
    tensor: NDArray[Any]
    image: NDArray[np.uint8] | None
    mask: NDArray[np.int64] | None
    others: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    instances: Instances | None = None

    def feeds(self, image: str) -> dict[str, NDArray[Any]]:
        """All inputs of the model by name. image: the name of the input that takes the image."""
        return {image: self.tensor, **self.others}


class Dataset(Protocol):
    """A dataset as model inputs. Small and picklable: it holds names, not pixels."""

    @property
    def names(self) -> tuple[str, ...]:
        """Posix paths relative to the folder, sorted."""

    def digest(self, index: int) -> str:
        """SHA-256 of the file's bytes, hexadecimal. Raises DataError."""

    def load(self, index: int) -> Item:
        """Reads and prepares one item. Raises DataError that names the file."""


@dataclass(frozen=True)
class Subset:
    """The items of a dataset at `indices`, in their order."""

    dataset: Dataset
    indices: tuple[int, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the items."""
        return tuple(self.dataset.names[index] for index in self.indices)

    def digest(self, index: int) -> str:
        """See Dataset.digest."""
        return self.dataset.digest(self.indices[index])

    def load(self, index: int) -> Item:
        """See Dataset.load."""
        return self.dataset.load(self.indices[index])


@dataclass(frozen=True)
class NoImages:
    """A dataset without items, for steps that need no image."""

    names: tuple[str, ...] = ()

    def digest(self, index: int) -> str:
        """Raises DataError."""
        raise DataError("there are no images")

    def load(self, index: int) -> Item:
        """Raises DataError."""
        raise DataError("there are no images")
