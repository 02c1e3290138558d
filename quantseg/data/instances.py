"""Instances: the objects of one image, each with a mask, a class and a score."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Instances:
    """The instances of one image, of which there may be none.

    masks: bool (count, height, width). classes: int64 (count,), indices into the class names. scores: float32 (count,),
    0…1; those of labels are 1. crowd: bool (count,), regions of labels that hold many objects and are matched with
    none. Raises ValueError where their lengths differ.
    """

    masks: NDArray[np.bool_]
    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    crowd: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.masks.ndim != 3 or len({len(self.masks), len(self.classes), len(self.scores), len(self.crowd)}) != 1:
            raise ValueError("masks (count, height, width), classes, scores and crowd of one length are needed")

    @staticmethod
    def of(masks: NDArray[Any], classes: NDArray[Any], scores: NDArray[Any] | None = None) -> "Instances":
        """Instances of which none is a crowd. scores: None for labels."""
        count = len(masks)
        known = np.ones(count, np.float32) if scores is None else scores.astype(np.float32)
        return Instances(masks.astype(np.bool_), classes.astype(np.int64), known, np.zeros(count, np.bool_))

    def __len__(self) -> int:
        return len(self.masks)

    def chosen(self, which: NDArray[Any]) -> "Instances":
        """Some of them. which: bool (count,) or indices, whose order is kept."""
        return Instances(self.masks[which], self.classes[which], self.scores[which], self.crowd[which])

    def above(self, score: float) -> "Instances":
        """Those whose score is higher."""
        return self.chosen(self.scores > score)

    def planes(self, classes: int) -> NDArray[np.bool_]:
        """For each class which pixels its instances cover: bool (classes, height, width); crowds are left out."""
        found = np.zeros((classes, *self.masks.shape[1:]), np.bool_)
        for mask, number, crowd in zip(self.masks, self.classes, self.crowd, strict=True):
            if not crowd:
                found[number] |= mask
        return found
