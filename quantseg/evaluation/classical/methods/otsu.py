"""Otsu's thresholds: the grey levels that part the histogram with the greatest variance between its parts.

One threshold for two classes, n − 1 for n (multi-Otsu). That variance is Σ (sum of a part)² / (its pixels) but for a
constant, and the best parting of the greys up to g into k parts is one of those up to some h < g into k − 1, with the
rest as the k-th: so all are found exactly, in k steps over the pairs (h, g).
Sources: Otsu, IEEE Trans. SMC 9(1), 1979; Liao et al., J. Information Science and Engineering 17(5), 2001.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.evaluation.classical.colours import Image, grey
from quantseg.evaluation.classical.segments import Segments

_GREYS = 256


@dataclass(frozen=True, eq=False)
class Levels:
    """An image parted by thresholds. grey: 0…255 (H, W). labels: the level of each pixel, from dark to light.

    means: the mean grey of each level, (levels,). thresholds: a level holds what is above the one and at most the next.
    """

    grey: NDArray[np.uint8]
    labels: Segments
    means: NDArray[np.float64]
    thresholds: tuple[int, ...]


def otsu(image: Image, classes: int) -> Segments:
    """One segment for each level of grey."""
    return levels(image, classes).labels


def levels(image: Image, classes: int) -> Levels:
    """As many levels as classes, at most the different greys of the image."""
    shades = grey(image)
    histogram = np.bincount(shades.ravel(), minlength=_GREYS)
    found = thresholds(histogram, min(classes, int(np.count_nonzero(histogram))))
    level_of = np.searchsorted(found, np.arange(_GREYS)).astype(np.int64)
    pixels = np.bincount(level_of, weights=histogram)
    means = np.bincount(level_of, weights=histogram * np.arange(_GREYS)) / pixels
    return Levels(shades, level_of[shades], means, found)


def thresholds(histogram: NDArray[np.int64], count: int) -> tuple[int, ...]:
    """The greys at which the first `count` − 1 parts end. histogram: pixels of each grey, of which `count` occur."""
    occurring = np.flatnonzero(histogram)
    pixels, sums = (np.cumsum(np.concatenate([[0], x[occurring]])) for x in (histogram, histogram * np.arange(_GREYS)))
    start, end = np.triu_indices(len(occurring) + 1, 1)
    gain = np.full((len(pixels), len(pixels)), -np.inf)  # [h, g]: of a part that holds the greys h … g − 1
    gain[start, end] = (sums[end] - sums[start]) ** 2 / (pixels[end] - pixels[start])
    best, before = gain[0], list[NDArray[np.int64]]()
    for _ in range(count - 1):
        reached = best[:, None] + gain
        before.append(np.argmax(reached, axis=0))
        best = np.max(reached, axis=0)
    ends = [len(occurring)]
    for step in reversed(before):
        ends.append(int(step[ends[-1]]))
    return tuple(int(occurring[one - 1]) for one in reversed(ends[1:]))
