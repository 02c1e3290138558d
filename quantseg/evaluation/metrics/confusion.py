"""Confusion matrix of class maps: how many pixels of each true class were given each predicted class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.evaluation.metrics.masks import counted
from quantseg.evaluation.metrics.overlap import Counts, Overlap, Values, grown, mean


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Pixel counts (classes, classes): row is the true class, column the predicted one. A monoid under +."""

    counts: Counts

    @staticmethod
    def empty(classes: int = 0) -> "ConfusionMatrix":
        """The identity of +."""
        return ConfusionMatrix(np.zeros((classes, classes), np.int64))

    @staticmethod
    def from_masks(
        truth: NDArray[Any], prediction: NDArray[Any], classes: int, ignore_index: int | None = None
    ) -> "ConfusionMatrix":
        """Counts two class maps of one shape. Raises DataError for differing shapes or ids out of range."""
        valid = counted(truth, prediction, classes, ignore_index)
        pairs = truth[valid].astype(np.int64) * classes + prediction[valid].astype(np.int64)
        return ConfusionMatrix(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Counts of both sets; the smaller matrix is padded with zeros."""
        size = max(len(self.counts), len(other.counts))
        return ConfusionMatrix(grown(self.counts, size) + grown(other.counts, size))

    def overlap(self) -> Overlap:
        """The counts per class: diagonal, row sums and column sums."""
        return Overlap(np.diagonal(self.counts), self.counts.sum(axis=1), self.counts.sum(axis=0))

    def iou(self) -> Values:
        """Intersection over union of each class; None for a class that neither mask holds."""
        return self.overlap().iou()

    def dice(self) -> Values:
        """Dice coefficient of each class."""
        return self.overlap().dice()

    def precision(self) -> Values:
        """Share of each class's predicted pixels that are right."""
        return self.overlap().precision()

    def recall(self) -> Values:
        """Share of each class's true pixels that were found."""
        return self.overlap().recall()

    def mean_iou(self) -> float | None:
        """Mean IoU over the classes that occur in either mask."""
        return mean(self.iou())

    def pixel_accuracy(self) -> float | None:
        """Share of the counted pixels whose class is right."""
        total = int(self.counts.sum())
        return int(np.trace(self.counts)) / total if total else None

    def frequency_weighted_iou(self) -> float | None:
        """IoU weighted by each class's share of the true pixels. Source: Long et al., CVPR 2015."""
        weights = self.counts.sum(axis=1)
        weighted = [int(w) * iou for w, iou in zip(weights, self.iou(), strict=True) if iou is not None]
        total = int(weights.sum())
        return sum(weighted) / total if total else None

    def summary(self) -> Mapping[str, float | None]:
        """Means over the classes that occur, and the figures over pixels."""
        return {
            **self.overlap().summary(),
            "pixel_accuracy": self.pixel_accuracy(),
            "frequency_weighted_iou": self.frequency_weighted_iou(),
        }

    def per_class(self) -> Mapping[str, Values]:
        """The overlap figures of each class."""
        return self.overlap().per_class()
