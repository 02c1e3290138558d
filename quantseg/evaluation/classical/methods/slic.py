"""SLIC superpixels, grouped by k-means on their mean colours.

Source: Achanta et al., IEEE TPAMI 34(11), 2012: k-means in colour and place together, within a small window.
"""

import numpy as np

from quantseg.evaluation.classical.clustering import cluster
from quantseg.evaluation.classical.colours import Image, mean_colours
from quantseg.evaluation.classical.methods.kmeans import GROUPS_PER_CLASS
from quantseg.evaluation.classical.segments import Segments, numbered

PIXELS_EACH, MOST = 32, 800
"""Pixels of a superpixel, and the most superpixels of an image."""
COMPACTNESS = 10.0
"""How much the place of a pixel weighs beside its colour (L*a*b*)."""


def slic(image: Image, classes: int) -> Segments:
    """One segment for each group of superpixels."""
    parts = superpixels(image)
    colours, pixels = mean_colours(image, parts)
    return cluster(colours, pixels, GROUPS_PER_CLASS * classes)[parts]


def superpixels(image: Image) -> Segments:
    """Connected patches of like colour, numbered from 0."""
    from skimage import segmentation

    count = min(MOST, max(1, image.shape[0] * image.shape[1] // PIXELS_EACH))
    found = segmentation.slic(image, n_segments=count, compactness=COMPACTNESS, start_label=0, channel_axis=-1)
    return numbered(np.asarray(found))
