"""Margins of instances: maps of one shape for every model, however many instances it finds.

An instance covers a pixel where its score is above the threshold and its mask is above one half. So with score s, mask
m between 0 and 1, and threshold t, the margin of class and pixel is the largest min(s − t, m − 1/2) of the instances of
that class; without any it is that of s = m = 0. Its sign is the class's mask, and neither score nor mask can change
the sign with a smaller error than the margin. The pixels are those of a coarse grid, which bounds the work.
Margins of scores s − t follow: a score may be near the threshold where the maps show nothing of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads.head import Array
from quantseg.data.heads.instances.boxes import MOST, by_score

F32 = NDArray[np.float32]
MOST_CELLS = 1 << 17
"""Cells of the grids of all classes of one image."""


@dataclass(frozen=True, eq=False)
class Soft:
    """Instances of one image before anything is decided: scores (n,), classes (n,), masks 0…1 (n, rows, columns)."""

    scores: F32
    classes: NDArray[np.int64]
    masks: F32


@dataclass(frozen=True, eq=False)
class Evidence:
    """See Margins. draw: from outputs to the margins; picklable.

    classes: for cells 0 where no class is, else one more than the class; for scores two more numbers, below and above.
    """

    lead: F32
    classes: Array
    draw: Callable[[Sequence[Array]], tuple[F32, F32]]

    @staticmethod
    def of_model(outputs: Sequence[Array], draw: Callable[[Sequence[Array]], tuple[F32, F32]]) -> "Evidence":
        """The margins of the float model's outputs. draw: outputs → margins of cells (classes, …) and of scores."""
        cells, scores = draw(outputs)
        numbers = np.arange(1, len(cells) + 1).reshape(-1, *(1,) * (cells.ndim - 1))
        own = len(cells) + 1 + (scores > 0)
        found = np.concatenate([np.where(cells > 0, numbers, 0).reshape(-1), own.reshape(-1)])
        return Evidence(_flat(cells, scores), found, draw)

    def of(self, outputs: Sequence[Array]) -> F32:
        """The margins of the same classes, cells and scores in another model's outputs."""
        return _flat(*self.draw(outputs))


def grid_of(size: tuple[int, int], classes: int) -> tuple[int, int]:
    """Rows and columns of the grid: every second pixel, fewer where all classes' cells would exceed MOST_CELLS."""
    step = 2
    while classes * -(-size[0] // step) * -(-size[1] // step) > MOST_CELLS and step < max(size):
        step *= 2
    return -(-size[0] // step), -(-size[1] // step)


def leads(images: Sequence[Soft], classes: int, grid: tuple[int, int], threshold: float) -> F32:
    """Margins of the cells: (classes, images, rows, columns)."""
    found = np.full((classes, len(images), *grid), min(-threshold, -0.5), np.float32)
    for number, soft in enumerate(images):
        for score, owner, mask in zip(soft.scores, soft.classes, soft.masks, strict=True):
            place = found[owner, number]
            np.maximum(place, np.minimum(score - np.float32(threshold), mask - np.float32(0.5)), out=place)
    return found


def ranked(images: Sequence[Soft], threshold: float) -> F32:
    """Margins of the MOST highest scores of each image, in falling order, 0 where there are fewer: (images, MOST)."""
    found = np.zeros((len(images), MOST), np.float32)
    for row, soft in zip(found, images, strict=True):
        best = soft.scores[by_score(soft.scores)[:MOST]]
        row[: len(best)] = best
    return np.asarray(found - np.float32(threshold))


def _flat(cells: F32, scores: F32) -> F32:
    return np.concatenate([cells.reshape(-1), scores.reshape(-1)])
