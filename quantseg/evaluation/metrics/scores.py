"""Scores: the values of every metric in METRICS, computed from tallies that are summed over images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from quantseg.evaluation.metrics import METRICS, Tally
from quantseg.evaluation.metrics.overlap import Values

Tallies = Mapping[str, Tally]
"""Metric name → tally. The empty mapping is the identity of `added`."""


@dataclass(frozen=True)
class Scores:
    """How well one set of masks matches another.

    summary: name → value, such as mean_iou, pixel_accuracy, boundary_iou. per_class: name → one value per class, such
    as iou, dice, precision, recall. All are 0…1, or None where nothing was counted.
    """

    summary: Mapping[str, float | None]
    per_class: Mapping[str, Values]

    @staticmethod
    def of(tallies: Tallies) -> "Scores":
        """The values of every tally."""
        return Scores(
            {name: value for tally in tallies.values() for name, value in tally.summary().items()},
            {name: values for tally in tallies.values() for name, values in tally.per_class().items()},
        )

    @property
    def mean_iou(self) -> float | None:
        """Mean IoU over the classes that occur in either mask."""
        return self.summary["mean_iou"]


def tally(truths: NDArray[Any], masks: NDArray[Any], classes: int, ignore_index: int | None) -> Tallies:
    """Every metric's tally of a batch of mask pairs: first axis images, the others as in quantseg.evaluation.metrics.

    Raises DataError for differing shapes or class ids out of range.
    """
    total: Tallies = {}
    for truth, mask in zip(truths, masks, strict=True):
        one = {name: metric(truth, mask, classes, ignore_index) for name, metric in METRICS.items()}
        total = added(total, one)
    return total


def added(a: Tallies, b: Tallies) -> Tallies:
    """Tallies of both sets."""
    if not (a and b):
        return a or b
    return {name: a[name] + b[name] for name in a}
