"""The calibration images as learning takes them: in memory up to a bound, else loaded again whenever they are drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from quantseg.data import Dataset

CACHE_BYTES = 1 << 29
"""Bytes that inputs and targets, or the tensors between two parts, may take in memory: 512 MiB."""


@dataclass(frozen=True)
class Example:
    """One input, the outputs that the float model makes of it, and how much each of their pixels weighs."""

    x: Any
    targets: tuple[Any, ...]
    weights: tuple[Any, ...]


@final
class Examples:
    """Every image and, where images have a left and a right, its mirror image; targets from the float model."""

    def __init__(self, data: Dataset, width_axis: int | None, make: Callable[[Any], Example]) -> None:
        self._data, self._axis, self._make = data, width_axis, make
        self._kept: dict[int, Example] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._data.names) * (1 if self._axis is None else 2)

    def __getitem__(self, index: int) -> Example:
        if index in self._kept:
            return self._kept[index]
        example = self._make(self.picture(index))
        size = sum(tensor.nbytes for tensor in (example.x, *example.targets, *example.weights))
        if self._bytes + size <= CACHE_BYTES:
            self._kept[index] = example
            self._bytes += size
        return example

    def picture(self, index: int) -> Any:
        """The input alone. Raises DataError."""
        image, mirrored = index % len(self._data.names), index >= len(self._data.names)
        x = torch.from_numpy(np.array(self._data.load(image).tensor))
        return x.flip(self._axis) if mirrored and self._axis is not None else x


def drawn(count: int, seed: int, step: int) -> int:
    """Which of the examples the step takes: each once in `count` steps, in an order of its own each time."""
    turn, place = divmod(step, count)
    return int(np.random.default_rng((seed, turn)).permutation(count)[place])
