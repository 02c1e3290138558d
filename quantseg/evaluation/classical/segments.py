"""Segments: the parts of an image that a method finds, and how any image becomes one that a method can take.

Methods see images of at least LEAST_SIDE and at most MOST_PIXELS: a smaller one is continued at its edges, a larger one
shrunk, and the segments cut or enlarged again. That bounds their time and memory.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from threadpoolctl import ThreadpoolController

from quantseg.data.masks import resize_nearest
from quantseg.data.preprocess import resize
from quantseg.errors import DataError, MissingExtraError

Segments = NDArray[np.int64]
"""The segment of each pixel, (height, width), numbered from 0."""
Method = Callable[[NDArray[np.uint8], int], Segments]
"""(image: RGB (height, width, 3), number of classes) → its segments; the same image gives the same segments."""

LEAST_SIDE, MOST_PIXELS = 8, 1 << 18
"""Below: no gradient and no superpixel. Above (512 x 512): the random walker takes ten seconds and more."""
_NEEDED = ("skimage", "skimage.segmentation", "scipy", "scipy.linalg")
"""With them their libraries are loaded, whose threads `_one_thread` limits."""


def require_classical() -> None:
    """Raises MissingExtraError where scikit-image is not installed."""
    try:
        for module in _NEEDED:
            import_module(module)
    except ImportError as error:
        raise MissingExtraError('scikit-image is not installed; pip install "quantseg[classical]"') from error


def segmented(method: Method, image: NDArray[np.uint8], classes: int) -> Segments:
    """The segments of an image of any size, numbered from 0 without a gap; an image of one colour is one segment.

    image: uint8 (height, width, 3), RGB. classes: at least 1. Raises DataError for another array, MissingExtraError
    without the extra.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        shape = "x".join(map(str, image.shape))
        raise DataError(f"{image.dtype} image of shape {shape}: is no RGB image; give uint8 (height, width, 3)")
    require_classical()
    height, width = image.shape[:2]
    if (image == image[0, 0]).all():
        return np.zeros((height, width), np.int64)
    with _one_thread():
        return numbered(resize_nearest(_found(method, _shrunk(image), classes), (height, width)))


def numbered(labels: NDArray[Any]) -> Segments:
    """The same segments, numbered from 0 without a gap, in the order of their labels."""
    used = np.bincount(labels.ravel()) > 0
    return np.asarray((np.cumsum(used) - 1)[labels], np.int64)


def places(segments: Segments) -> NDArray[np.float64]:
    """The centre of each segment, (n, 2), in pixels from the upper left corner: row, column."""
    flat = segments.ravel()
    pixels = np.bincount(flat)
    sums = [np.bincount(flat, weights=axis.ravel()) for axis in np.indices(segments.shape)]
    return np.stack(sums, axis=1) / np.maximum(pixels, 1)[:, None]


def _found(method: Method, image: NDArray[np.uint8], classes: int) -> Segments:
    height, width = image.shape[:2]
    more = [max(0, LEAST_SIDE - side) for side in (height, width)]
    continued = np.pad(image, [(0, more[0]), (0, more[1]), (0, 0)], mode="edge")
    return method(continued, classes)[:height, :width]


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    area = max(height, LEAST_SIDE) * max(width, LEAST_SIDE)
    if area <= MOST_PIXELS:
        return image
    factor = math.sqrt(MOST_PIXELS / area)
    most = MOST_PIXELS // LEAST_SIDE
    size = [min(side, most, max(LEAST_SIDE, int(side * factor))) for side in (height, width)]
    return np.asarray(resize(Pillow.fromarray(image), (size[0], size[1]), "box"))


def _one_thread() -> AbstractContextManager[Any]:
    """One thread for BLAS: with several the last digits depend on their number, and times on what else runs."""
    controller: AbstractContextManager[Any] = _libraries().limit(limits=1)
    return controller


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
