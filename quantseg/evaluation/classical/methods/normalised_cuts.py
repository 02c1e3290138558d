"""Normalised cuts on superpixels: a graph is cut where the weights across are small beside those within each part.

Sources: Shi and Malik, IEEE TPAMI 22(8), 2000; Ng, Jordan and Weiss, NIPS 2001, whose k-means on the eigenvectors cuts
into several parts at once. The nodes are superpixels, so that the whole spectrum of the graph is computed exactly.
"""

import numpy as np
from numpy.typing import NDArray

from quantseg.evaluation.classical.clustering import cluster
from quantseg.evaluation.classical.colours import Image, mean_colours
from quantseg.evaluation.classical.methods.kmeans import GROUPS_PER_CLASS
from quantseg.evaluation.classical.methods.slic import superpixels
from quantseg.evaluation.classical.segments import Segments, places

COLOUR, PLACE = 8.0, 0.25
"""Distances at which a weight falls to 1/e: of colours in L*a*b*, of places in shares of the image's diagonal."""


def normalised_cuts(image: Image, classes: int) -> Segments:
    """One segment for each part of the graph; there are twice as many as classes, as with k-means."""
    parts = superpixels(image)
    colours, pixels = mean_colours(image, parts)
    points = places(parts) / np.hypot(*parts.shape)
    weights = np.exp(-_squares(colours) / COLOUR**2 - _squares(points) / PLACE**2)
    count = min(GROUPS_PER_CLASS * classes, len(colours))
    return cluster(_embedding(weights, count), pixels, count)[parts]


def _embedding(weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The nodes as points (n, count) of unit length: rows of the eigenvectors of D^-½ W D^-½ of the largest values."""
    from scipy import linalg

    scale, total = 1 / np.sqrt(weights.sum(axis=1)), len(weights)
    vectors = linalg.eigh(weights * scale[:, None] * scale, subset_by_index=(total - count, total - 1))[1]
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _squares(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances of all pairs, (n, n)."""
    total = np.zeros((len(points), len(points)))
    for axis in points.T:
        total += np.subtract.outer(axis, axis) ** 2
    return total
