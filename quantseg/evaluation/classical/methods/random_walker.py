"""The random walker: each pixel gets the level whose seeds a walker reaches first, who shuns steps between colours.

Source: Grady, IEEE TPAMI 28(11), 2006. It solves a linear system over the graph of the pixels, whose solution is the
minimum of the same energy as that of a graph cut, with real values in place of 0 and 1. The seeds are the pixels of
which Otsu's thresholds are certain: those nearer to the mean of their level than to a threshold.
"""

import warnings

import numpy as np

from quantseg.evaluation.classical.colours import Image
from quantseg.evaluation.classical.methods.otsu import Levels, levels
from quantseg.evaluation.classical.segments import Segments

BETA, TOLERANCE = 130.0, 1e-3
"""How strongly a walker shuns differences of colour; the error of the solver, of a probability."""


def random_walker(image: Image, classes: int) -> Segments:
    """One segment for each of Otsu's levels."""
    from skimage import segmentation

    found = levels(image, classes)
    seeds = np.where(_is_certain(found)[found.grey], found.labels + 1, 0)
    if len(found.means) == 1 or seeds.all():
        return found.labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # probabilities a little outside 0…1, of which the greatest is taken anyway
        walked = segmentation.random_walker(image, seeds, beta=BETA, mode="cg_j", tol=TOLERANCE, channel_axis=-1)
    return np.where(walked > 0, walked - 1, found.labels)  # below 0: a pixel that no seed reaches


def _is_certain(found: Levels) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """For each grey 0…255, whether it is nearer to its level's mean than to the next threshold."""
    shades = np.arange(256)
    level = np.searchsorted(found.thresholds, shades)
    to_mean = np.abs(shades - found.means[level])
    between = np.array([-np.inf, *(one + 0.5 for one in found.thresholds), np.inf])
    to_threshold = np.minimum(shades - between[level], between[level + 1] - shades)
    return np.asarray(to_mean <= to_threshold)
