"""The objects of images to train on: drawn once, kept in memory, and turned and mirrored anew in every epoch."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantseg.data.drawn_cells import draw
from quantseg.data.instances import Instances

_VALIDATION_FIRST, _TRAINING_FIRST = 1_000_000, 10_000_000
_DRAWN_FOR_TRAINING, _DRAWN_FOR_VALIDATION = 1200, 64


class Objects(NamedTuple):
    """The objects of one image.

    boxes: (G, 4), left, top, right, bottom in pixels. classes: (G,) int64. masks: (G, H, W) bool.
    """

    boxes: Tensor
    classes: Tensor
    masks: Tensor


InstanceBatch = tuple[NDArray[np.uint8], list[Objects]]
"""Images (N, H, W, 3) in RGB, and the objects of each."""


@dataclass(frozen=True)
class _Drawn:
    """An image, the id of each pixel's instance, 0 where there is none, and the class of each id from 1."""

    image: NDArray[np.uint8]
    ids: NDArray[np.int32]
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class DrawnObjects:
    """Blood smears with their cells. size: (height, width), equal where images are turned."""

    size: tuple[int, int]
    count: int = _DRAWN_FOR_TRAINING

    def __len__(self) -> int:
        return self.count

    def epoch(self, number: int, *, batch: int, seed: int) -> Iterator[InstanceBatch]:
        """The full batches of one epoch; the same ones for the same number and seed."""
        rng = np.random.Generator(np.random.PCG64([seed, number]))
        order = rng.permutation(len(self))
        for first in range(0, len(self) - batch + 1, batch):
            turned = [_turned(self._training[index], int(rng.integers(8))) for index in order[first : first + batch]]
            yield np.stack([one.image for one in turned]), [_objects(one) for one in turned]

    def validation(self) -> Iterator[tuple[NDArray[np.uint8], Instances]]:
        """Images that training never sees, one by one, and their labels."""
        for index in range(_DRAWN_FOR_VALIDATION):
            drawing = draw(_VALIDATION_FIRST + index, self.size)
            yield drawing.image, drawing.instances()

    @cached_property
    def _training(self) -> list[_Drawn]:
        return [_draw(_TRAINING_FIRST + index, self.size) for index in range(self.count)]


def _draw(seed: int, size: tuple[int, int]) -> _Drawn:
    """Kept as ids: masks of their own would take thirty times the memory."""
    drawing = draw(seed, size)
    instances = drawing.instances()
    numbers = np.arange(1, len(instances) + 1, dtype=np.int32)
    ids = (instances.masks * numbers[:, None, None]).sum(axis=0, dtype=np.int32)  # no two share a pixel
    return _Drawn(drawing.image, ids, instances.classes)


def _turned(drawn: _Drawn, way: int) -> _Drawn:
    """One of the eight ways to lay a square on itself."""

    def lay(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        turned = np.rot90(pixels, way % 4)
        return np.ascontiguousarray(turned[:, ::-1] if way >= 4 else turned)

    return _Drawn(lay(drawn.image), lay(drawn.ids), drawn.classes)


def _objects(drawn: _Drawn) -> Objects:
    ids = torch.from_numpy(drawn.ids)
    masks = ids == torch.arange(1, len(drawn.classes) + 1)[:, None, None]
    return Objects(boxes_of(masks), torch.from_numpy(drawn.classes), masks)


def boxes_of(masks: Tensor) -> Tensor:
    """The boxes (G, 4) around masks (G, H, W), none of which is empty, from edge to edge of their outer pixels."""
    sides = []
    for axis in (1, 2):  # columns, then rows
        used = masks.any(dim=axis).to(torch.uint8)
        sides.append((used.argmax(dim=1), used.shape[1] - used.flip(1).argmax(dim=1)))
    (left, right), (top, bottom) = sides
    return torch.stack((left, top, right, bottom), dim=1).to(torch.float32)
