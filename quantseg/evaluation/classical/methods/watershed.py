"""The watershed of the gradient, flooded from the cores of Otsu's levels that a distance transform finds.

Sources: Beucher and Lantuéjoul 1979; Vincent and Soille, IEEE TPAMI 13(6), 1991; Meyer, Signal Processing 38(1), 1994.
"""

import numpy as np

from quantseg.evaluation.classical.colours import Image
from quantseg.evaluation.classical.methods.otsu import levels
from quantseg.evaluation.classical.segments import Segments

DEPTH = 2.0
"""Pixels from a level's border to its core; less where no part of a level is so thick."""


def watershed(image: Image, classes: int) -> Segments:
    """One segment for each basin, which is what is flooded from one core."""
    from scipy import ndimage
    from skimage import filters, measure, segmentation

    found = levels(image, classes)
    framed = np.pad(found.labels, 1, constant_values=-1)
    depth = np.zeros(framed.shape)
    for level in range(len(found.means)):
        depth = np.maximum(depth, ndimage.distance_transform_edt(framed == level))
    inner = depth[1:-1, 1:-1]
    cores = np.where(inner >= min(DEPTH, float(inner.max())), found.labels + 1, 0)
    markers = measure.label(cores, background=0, connectivity=1)
    basins = segmentation.watershed(filters.sobel(found.grey.astype(np.float64)), markers)
    return np.asarray(basins, np.int64) - 1
