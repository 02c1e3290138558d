"""Canny's edges, closed and filled: a segment is what an edge encloses, and an edge belongs to what lies nearest.

Source: Canny, IEEE TPAMI 8(6), 1986.
"""

import numpy as np

from quantseg.evaluation.classical.colours import Image, grey
from quantseg.evaluation.classical.segments import Segments

SIGMA = 1.5
"""Of the Gaussian before the gradient, in pixels."""
WEAK, STRONG = 0.70, 0.85
"""Shares of the pixels whose gradient is below that of a weak and of a strong edge."""


def canny(image: Image, classes: int) -> Segments:
    """One segment for each connected region without an edge; `classes` plays no part."""
    from scipy import ndimage
    from skimage import feature, measure

    edges = feature.canny(
        grey(image).astype(np.float64), sigma=SIGMA, low_threshold=WEAK, high_threshold=STRONG, use_quantiles=True
    )
    closed = ndimage.binary_closing(edges, np.ones((3, 3), bool))
    inside = measure.label(~closed, connectivity=1)
    if not inside.any():
        return np.zeros(inside.shape, np.int64)
    nearest = ndimage.distance_transform_edt(inside == 0, return_distances=False, return_indices=True)
    return np.asarray(inside[tuple(nearest)] - 1, np.int64)
