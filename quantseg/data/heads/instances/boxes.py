"""Boxes x0, y0, x1, y1 in pixels of the image: their overlap, and greedy non-maximum suppression.

Greedy suppression takes the box of the highest score, drops what overlaps it too much, and starts again with the rest.
Source: Girshick et al., CVPR 2014, section 2.2; the ties and the comparison are those of ONNX' NonMaxSuppression.
"""

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads.head import Array

MOST = 100
"""Instances of one image, those of the highest scores: COCO's maxDets."""

F64 = NDArray[np.float64]


def corners(boxes: Array) -> F64:
    """Corners (n, 4) of boxes (n, 4) that are given as centre x, centre y, width and height."""
    middle, half = boxes[:, :2].astype(np.float64), boxes[:, 2:4].astype(np.float64) / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def overlap(box: F64, boxes: F64) -> F64:
    """Intersection over union of one box (4,) with others (n, 4); 0 where the union is empty."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = np.prod(np.maximum(sides, 0), axis=1)
    union = _area(box[None]) + _area(boxes) - common
    shares: F64 = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares


def by_score(scores: Array) -> NDArray[np.int64]:
    """Indices by falling score; of equal scores the lower index comes first."""
    return np.argsort(-scores.astype(np.float64), kind="stable").astype(np.int64)


def suppress(boxes: F64, scores: Array, classes: Array, iou: float, most: int | None = MOST) -> NDArray[np.int64]:
    """Indices of the boxes that are kept, by falling score, at most `most` of them; None: all.

    boxes: corners (n, 4). A box is dropped where its overlap with a kept box of its own class, of a higher score or of
    an equal score and a lower index, is above `iou`.
    """
    left, kept = by_score(scores), list[int]()
    while left.size and (most is None or len(kept) < most):
        best, left = int(left[0]), left[1:]
        kept.append(best)
        same = left[classes[left] == classes[best]]
        dropped = same[overlap(boxes[best], boxes[same]) > iou]
        if dropped.size:
            left = left[~np.isin(left, dropped)]
    return np.array(kept, np.int64)


def _area(boxes: F64) -> F64:
    area: F64 = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    return area
