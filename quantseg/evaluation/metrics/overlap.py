"""Overlap of two masks by class: IoU = I/(T + P − I), Dice = 2I/(T + P), precision = I/P, recall = I/T.

T pixels hold the class in the truth, P in the prediction, I in both. Dice = 2·IoU/(1 + IoU), so the two rank
models alike. A class that neither mask holds has no value (None), and means leave it out.
Source: Jaccard 1901; Dice, Ecology 26(3), 1945.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Values = tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class Overlap:
    """Pixel counts per class, each of shape (classes,): in both masks, in the truth, in the prediction."""

    both: Counts
    truth: Counts
    prediction: Counts

    @staticmethod
    def empty() -> "Overlap":
        """The identity of +."""
        nothing = np.zeros(0, np.int64)
        return Overlap(nothing, nothing, nothing)

    def __add__(self, other: "Overlap") -> "Overlap":
        """Counts of both sets; the one with fewer classes is padded with zeros."""
        size = max(len(self.both), len(other.both))
        pairs = ((self.both, other.both), (self.truth, other.truth), (self.prediction, other.prediction))
        return Overlap(*(grown(a, size) + grown(b, size) for a, b in pairs))

    def iou(self) -> Values:
        """Intersection over union of each class, 0…1."""
        return ratios(self.both, self.truth + self.prediction - self.both)

    def dice(self) -> Values:
        """Dice coefficient (F1) of each class, 0…1."""
        return ratios(2 * self.both, self.truth + self.prediction)

    def precision(self) -> Values:
        """Share of the predicted pixels that are right; None where none was predicted."""
        return ratios(self.both, self.prediction)

    def recall(self) -> Values:
        """Share of the true pixels that were found; None where there is none."""
        return ratios(self.both, self.truth)

    def summary(self) -> Mapping[str, float | None]:
        """Means over the classes that occur."""
        return {
            "mean_iou": mean(self.iou()),
            "mean_dice": mean(self.dice()),
            "mean_precision": mean(self.precision()),
            "mean_recall": mean(self.recall()),
        }

    def per_class(self) -> Mapping[str, Values]:
        """The four figures of each class."""
        return {
            "iou": self.iou(),
            "dice": self.dice(),
            "precision": self.precision(),
            "recall": self.recall(),
        }


def ratios(part: Counts, whole: Counts) -> Values:
    """part / whole element by element as Python floats, None where the whole is 0."""
    return tuple(int(p) / int(w) if w else None for p, w in zip(part, whole, strict=True))


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that exist; None where none does."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def grown(counts: Counts, size: int) -> Counts:
    """`counts` with zeros appended on every axis up to `size`."""
    return np.pad(counts, [(0, size - extent) for extent in counts.shape])
