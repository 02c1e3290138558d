"""k-means of weighted points, deterministic: the first centres are points, chosen far from each other.

The first is the heaviest point, each next one that with the largest weight times squared distance from the centres
before it (k-means++ without its dice: Arthur and Vassilvitskii, SODA 2007); the first of equals.
"""

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
_MOST_ROUNDS = 50


def cluster(points: F64, weights: F64, count: int) -> NDArray[np.int64]:
    """The group of each point, 0 ≤ group < count. points: (n, d). weights: (n,), positive.

    Fewer groups where fewer points differ.
    """
    centres = _begin(points, weights, count)
    groups = nearest(points, centres)
    for _ in range(_MOST_ROUNDS):
        centres = means(points, weights, groups, centres)
        moved = nearest(points, centres)
        if np.array_equal(moved, groups):
            break
        groups = moved
    return groups


def nearest(points: F64, centres: F64) -> NDArray[np.int64]:
    """The index of the nearest centre of each point, the first of equals. points: (n, d), centres: (k, d)."""
    return np.asarray(np.argmin(_distances(points, centres), axis=1), np.int64)


def means(points: F64, weights: F64, groups: NDArray[np.int64], centres: F64) -> F64:
    """The weighted mean of each group, (k, d); an empty one keeps its centre."""
    total = np.bincount(groups, weights, len(centres))
    sums = np.stack([np.bincount(groups, weights * axis, len(centres)) for axis in points.T], axis=1)
    return np.where(total[:, None] > 0, sums / np.maximum(total, 1e-300)[:, None], centres)


def _begin(points: F64, weights: F64, count: int) -> F64:
    chosen = [int(np.argmax(weights))]
    apart = _distances(points, points[chosen])[:, 0]
    while len(chosen) < count:
        far = weights * apart
        best = int(np.argmax(far))
        if far[best] <= 0:
            break
        chosen.append(best)
        apart = np.minimum(apart, _distances(points, points[best : best + 1])[:, 0])
    return points[chosen]


def _distances(points: F64, centres: F64) -> F64:
    """Squared, (n, k): without a matrix product, whose last digits depend on the number of threads."""
    total = np.zeros((len(points), len(centres)))
    for axis in range(points.shape[1]):
        total += np.subtract.outer(points[:, axis], centres[:, axis]) ** 2
    return total
