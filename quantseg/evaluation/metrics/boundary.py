"""Boundary IoU: the IoU of two masks' inner borders, which unlike mask IoU is sensitive to errors at boundaries.

The border of a class is the part of it within d pixels of its contour, d = 2 % of the image diagonal; the edge of the
image counts as contour. Source: Cheng et al., Boundary IoU, CVPR 2021, arXiv:2103.16562. The paper erodes the mask of
each class d times by a 3x3 square. Here the same pixels are found for all classes at once: a pixel survives erosion
exactly if its (2d + 1)² window holds one class only, that is if the window's minimum equals its maximum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.evaluation.metrics.masks import check_shapes, counted
from quantseg.evaluation.metrics.overlap import Overlap, Values, mean

DIAGONAL_SHARE = 0.02
_OUTSIDE = -1  # a class that no pixel holds: the frame around the image


@dataclass(frozen=True, eq=False)
class BoundaryOverlap:
    """Overlap of the inner borders, summed over images. A monoid under +."""

    overlap: Overlap

    def __add__(self, other: "BoundaryOverlap") -> "BoundaryOverlap":
        return BoundaryOverlap(self.overlap + other.overlap)

    def summary(self) -> Mapping[str, float | None]:
        """Mean boundary IoU over the classes that occur."""
        return {"boundary_iou": mean(self.overlap.iou())}

    def per_class(self) -> Mapping[str, Values]:
        """Boundary IoU of each class."""
        return {"boundary_iou": self.overlap.iou()}


def boundary(truth: NDArray[Any], prediction: NDArray[Any], classes: int, ignore_index: int | None) -> BoundaryOverlap:
    """Tally of two class maps (height, width) or of two stacks of channels (classes, height, width).

    Borders are found in the masks as they are; ignored pixels are then left out of the counts.
    Raises DataError for differing shapes or ids out of range.
    """
    if truth.ndim == 2:
        valid = counted(truth, prediction, classes, ignore_index)
        return BoundaryOverlap(_count(truth, prediction, valid, classes))
    check_shapes(truth, prediction)
    everywhere = np.ones(truth.shape[1:], np.bool_)
    overlaps = [
        _count(t.view(np.uint8), p.view(np.uint8), everywhere, 2) for t, p in zip(truth, prediction, strict=True)
    ]
    foreground = [[o.both[1], o.truth[1], o.prediction[1]] for o in overlaps]
    return BoundaryOverlap(Overlap(*np.array(foreground, np.int64).T))


def border(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels (height, width) within d, in either axis, of another class or of the image's edge."""
    reach = max(1, round(DIAGONAL_SHARE * float(np.hypot(*mask.shape))))
    framed = np.pad(mask.astype(np.int32), reach, constant_values=_OUTSIDE)
    lowest, highest = (_window(fold, framed, 2 * reach + 1) for fold in (np.minimum, np.maximum))
    return np.asarray(lowest != highest)


def _window(fold: np.ufunc, values: NDArray[Any], width: int) -> NDArray[Any]:
    """`fold` over every width x width window, by doubling: log2(width) passes along each axis."""
    for _ in range(2):
        span = 1
        while span < width:
            step = min(span, width - span)
            values = fold(values[:-step], values[step:])
            span += step
        values = values.T
    return values


def _count(truth: NDArray[Any], prediction: NDArray[Any], valid: NDArray[np.bool_], classes: int) -> Overlap:
    in_truth, in_prediction = border(truth) & valid, border(prediction) & valid
    in_both = in_truth & in_prediction & (truth == prediction)
    return Overlap(
        np.bincount(truth[in_both], minlength=classes),
        np.bincount(truth[in_truth], minlength=classes),
        np.bincount(prediction[in_prediction], minlength=classes),
    )
