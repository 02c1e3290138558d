"""Colours of an image and of its segments, in L*a*b*: there equal distances look about equally far apart.

Sums are of whole numbers, hence exact: no order of pixels changes a colour.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.evaluation.classical.segments import Segments

F64 = NDArray[np.float64]
Image = NDArray[np.uint8]
"""RGB, (height, width, 3)."""
_BITS = 5


@dataclass(frozen=True, eq=False)
class Palette:
    """The colours of an image, those within 8 steps of each channel as one.

    colours: their means in L*a*b*, (n, 3), in the order of their RGB. pixels: of each, (n,). index: (H, W).
    """

    colours: F64
    pixels: F64
    index: Segments


def grey(image: Image) -> NDArray[np.uint8]:
    """The luma of ITU-R 601, 0…255 (H, W), rounded: the same number on every machine."""
    red, green, blue = (image[..., channel].astype(np.int64) for channel in range(3))
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)


def palette(image: Image) -> Palette:
    """The colours of an image, with their numbers of pixels."""
    coarse = (image >> (8 - _BITS)).astype(np.int64)
    keys = (coarse[..., 0] << 2 * _BITS) | (coarse[..., 1] << _BITS) | coarse[..., 2]
    used = np.bincount(keys.ravel(), minlength=1 << 3 * _BITS) > 0
    index = (np.cumsum(used) - 1)[keys]
    colours, pixels = mean_colours(image, index)
    return Palette(colours, pixels, index)


def mean_colours(image: Image, segments: Segments) -> tuple[F64, F64]:
    """The mean colour of each segment in L*a*b*, (n, 3), and its number of pixels, (n,)."""
    flat = segments.ravel()
    pixels = np.bincount(flat).astype(np.float64)
    sums = [np.bincount(flat, weights=image[..., channel].ravel()) for channel in range(3)]
    return lab(np.stack(sums, axis=1) / np.maximum(pixels, 1)[:, None]), pixels


def lab(rgb: F64) -> F64:
    """Colours (n, 3) of sRGB, 0…255, as L* (0…100), a* and b* (CIE 1976, illuminant D65)."""
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(rgb[None] / 255)[0], np.float64)
