"""The calibration images as training examples: in memory up to a bound, else loaded anew whenever they are drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from quantseg.data import Dataset

CACHE_BYTES = 1 << 29
"""Most bytes of inputs and targets, or of the tensors between two parts, in memory: 512 MiB."""


@dataclass(frozen=True)
class Example:
    """A model input x, the float model's outputs for it (targets), and the weight of each of their pixels."""

    x: Any
    targets: tuple[Any, ...]
    weights: tuple[Any, ...]


@final
class Examples:
    """Every image and its mirror image, with targets of the float model.

    width_axis: along which images are mirrored; None: they are not. make: makes an example of a model input.
    """

    def __init__(self, data: Dataset, width_axis: int | None, make: Callable[[Any], Example]) -> None:
        self._data, self._axis, self._make = data, width_axis, make
        self._kept: dict[int, Example] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._data.names) * (1 if self._axis is None else 2)

    def __getitem__(self, index: int) -> Example:
        if index in self._kept:
            return self._kept[index]
        example = self._make(self.image(index))
        size = sum(tensor.nbytes for tensor in (example.x, *example.targets, *example.weights))
        if self._bytes + size <= CACHE_BYTES:
            self._kept[index] = example
            self._bytes += size
        return example

    def image(self, index: int) -> Any:
        """The model input of an example, without targets. Raises DataError."""
        image, mirrored = index % len(self._data.names), index >= len(self._data.names)
        x = torch.from_numpy(np.array(self._data.load(image).tensor))
        return x.flip(self._axis) if mirrored and self._axis is not None else x


def drawn(count: int, seed: int, step: int) -> int:
    """The index of the example for a step: each example once in `count` steps, in a new random order each time."""
    turn, place = divmod(step, count)
    return int(np.random.default_rng((seed, turn)).permutation(count)[place])
