"""Values between pixels: masks of regions pasted into their boxes, and small maps read at the size of the image.

A pixel's value is that at its centre, between samples bilinear. These are the rules of Mask R-CNN's and Mask2Former's
authors (detectron2's `paste_masks_in_image`, and `interpolate` with align_corners=False).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Taps:
    """For each new pixel of an axis two samples, and the second one's share of the value."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: F32

    @staticmethod
    def at(places: NDArray[np.float64], length: int) -> "Taps":
        """At places among `length` samples, sample k being at place k; beyond the ends as at the ends."""
        inside = np.clip(places, 0, length - 1)
        low = np.floor(inside).astype(np.int64)
        return Taps(low, np.minimum(low + 1, length - 1), (inside - low).astype(np.float32))


@dataclass(frozen=True, eq=False)
class Patch:
    """Values of a part of an image: (rows, columns), numbers or bool."""

    rows: slice
    columns: slice
    values: NDArray[Any]


def sampled(values: F32, rows: Taps, columns: Taps) -> F32:
    """Values (h, w) at other rows and columns."""
    down = rows.share[:, None]
    between: F32 = np.asarray(values[rows.low] * (1 - down) + values[rows.high] * down)
    return np.asarray(between[:, columns.low] * (1 - columns.share) + between[:, columns.high] * columns.share)


def centres(pixels: slice, length: int, samples: int) -> Taps:
    """Taps of some pixels of an axis of `length` pixels, over which `samples` samples are spread evenly."""
    return Taps.at((np.arange(pixels.start, pixels.stop) + 0.5) * samples / length - 0.5, samples)


def resized(values: F32, size: tuple[int, int]) -> F32:
    """A map (h, w) at another size."""
    rows, columns = (centres(slice(0, new), new, old) for new, old in zip(size, values.shape, strict=True))
    return sampled(values, rows, columns)


def span(low: float, high: float, length: int) -> slice:
    """The pixels of an axis of `length` whose centres lie in low…high."""
    first, last = np.clip([low, high], -1.0, length + 1.0)
    start = max(0, int(np.ceil(first - 0.5)))
    return slice(start, max(start, min(length, int(np.floor(last - 0.5)) + 1)))


def pasted(mask: F32, box: NDArray[np.float64], size: tuple[int, int]) -> Patch:
    """A mask (h, w) that is spread over a box, as far as the box lies in an image of this (height, width).

    Outside of the box values fall to 0 within half a sample of the mask, so that they are below 0.5 there.
    """
    padded = np.pad(mask, 1)
    spans, taps = [], []
    for axis, (samples, length) in enumerate(zip(mask.shape, size, strict=True)):
        low, high = float(box[1 - axis]), float(box[3 - axis])
        if not high > low:
            return Patch(slice(0, 0), slice(0, 0), np.zeros((0, 0), np.float32))
        margin = (high - low) / (2 * samples)
        pixels = span(low - margin, high + margin, length)
        places = (np.arange(pixels.start, pixels.stop) + 0.5 - low) * (samples / (high - low)) + 0.5
        spans.append(pixels)
        taps.append(Taps.at(places, samples + 2))
    return Patch(spans[0], spans[1], sampled(padded, taps[0], taps[1]))


def covered(low: float, high: float, length: int) -> F32:
    """The share of each pixel of an axis that lies in low…high."""
    edges = np.arange(length + 1, dtype=np.float64)
    inside = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    return np.asarray(np.clip(inside, 0, 1), np.float32)
