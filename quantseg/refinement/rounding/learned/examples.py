"""The calibration images as training examples: in memory up to a bound, else loaded anew whenever they are drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from quantseg.data import Dataset

CACHE_BYTES = 1 << 29
"""Most bytes of inputs and targets, or of the tensors between two parts, in memory: 512 MiB."""


@dataclass(frozen=True)
class Example:
    """A model's inputs by name (feeds), the float model's outputs for them (targets), and the weight of each of their
    pixels.
    """

    feeds: Mapping[str, Any]
    targets: tuple[Any, ...]
    weights: tuple[Any, ...]


@final
class Examples:
    """Every image and its mirror image, with targets of the float model.

    given: name of the input that takes the image. width_axis: along which images are mirrored; None: they are not.
    make: makes an example of a model's inputs.
    """

    def __init__(
        self, data: Dataset, given: str, width_axis: int | None, make: Callable[[Mapping[str, Any]], Example]
    ) -> None:
        self._data, self._given, self._axis, self._make = data, given, width_axis, make
        self._kept: dict[int, Example] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._data.names) * (1 if self._axis is None else 2)

    def __getitem__(self, index: int) -> Example:
        if index in self._kept:
            return self._kept[index]
        example = self._make(self.feeds(index))
        size = sum(tensor.nbytes for tensor in (*example.feeds.values(), *example.targets, *example.weights))
        if self._bytes + size <= CACHE_BYTES:
            self._kept[index] = example
            self._bytes += size
        return example

    def feeds(self, index: int) -> dict[str, Any]:
        """The model's inputs of an example, without targets. Raises DataError."""
        image, mirrored = index % len(self._data.names), index >= len(self._data.names)
        arrays = self._data.load(image).feeds(self._given)
        found = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        if mirrored and self._axis is not None:
            found[self._given] = found[self._given].flip(self._axis)
        return found


def drawn(count: int, seed: int, step: int) -> int:
    """The index of the example for a step: each example once in `count` steps, in a new random order each time."""
    turn, place = divmod(step, count)
    return int(np.random.default_rng((seed, turn)).permutation(count)[place])
