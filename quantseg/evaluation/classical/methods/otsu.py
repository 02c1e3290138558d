"""Otsu's thresholds: the grey levels that part the histogram with the greatest variance between its parts.

One threshold for two classes, n − 1 for n (multi-Otsu), at most three: the search takes the number of levels to that
power. Sources: Otsu, IEEE Trans. SMC 9(1), 1979; Liao et al., J. Information Science and Engineering 17(5), 2001.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.evaluation.classical.colours import Image, grey
from quantseg.evaluation.classical.segments import Segments

MOST_LEVELS = 4


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
    """As many levels as classes, at most MOST_LEVELS and at most the different greys of the image."""
    from skimage.filters import threshold_multiotsu

    shades = grey(image)
    histogram = np.bincount(shades.ravel(), minlength=256)
    count = min(classes, MOST_LEVELS, int(np.count_nonzero(histogram)))
    found = threshold_multiotsu(classes=count, hist=(histogram, np.arange(256))) if count > 1 else ()
    thresholds = tuple(int(one) for one in found)
    level_of = np.searchsorted(thresholds, np.arange(256)).astype(np.int64)
    pixels = np.bincount(level_of, weights=histogram)
    means = np.bincount(level_of, weights=histogram * np.arange(256)) / np.maximum(pixels, 1)
    return Levels(shades, level_of[shades], means, thresholds)
