"""Instances as COCO's compressed run lengths: small enough to be kept for every image of a set.

Runs of zeros and ones in turn, zeros first, down the columns. As text, each character holds five bits of a number and a
bit for "more follow"; from the fourth number on, numbers are differences to the last but one.
Source: cocoapi, common/maskApi.c (rleEncode, rleToString).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.instances import Instances

_BITS = 5
_MOST_DIGITS = 7
"""Digits of the longest number: 7 · 5 bits hold any number of pixels that an image may have."""


@dataclass(frozen=True)
class EncodedInstance:
    """One instance. runs: its mask. area: in pixels. The image's size is kept beside it."""

    number: int
    score: float
    crowd: bool
    area: int
    runs: bytes


def encoded(instances: Instances) -> tuple[EncodedInstance, ...]:
    """The instances in their order."""
    rows = zip(instances.masks, instances.classes, instances.scores, instances.crowd, strict=True)
    return tuple(
        EncodedInstance(int(number), float(score), bool(crowd), int(np.count_nonzero(mask)), run_lengths(mask))
        for mask, number, score, crowd in rows
    )


def run_lengths(mask: NDArray[np.bool_]) -> bytes:
    """The compressed run lengths of one mask (height, width)."""
    pixels = mask.T.reshape(-1)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    first = [0] if pixels.size and pixels[0] else []
    return _text(np.diff(np.concatenate([first, [0], changes, [pixels.size]])).astype(np.int64))


def _text(counts: NDArray[np.int64]) -> bytes:
    values = counts.copy()
    values[3:] -= counts[1:-2]
    halves = [1 << (_BITS * digits - 1) for digits in range(1, _MOST_DIGITS)]
    lengths: NDArray[Any] = 1 + sum(((values >= half) | (values < -half)).astype(np.int64) for half in halves)
    places = np.cumsum(lengths) - lengths
    text = np.empty(int(lengths.sum()), np.uint8)
    for digit in range(int(lengths.max(initial=0))):
        some = lengths > digit
        more = (lengths[some] > digit + 1).astype(np.int64) << _BITS
        text[places[some] + digit] = 48 + (more | (values[some] >> (_BITS * digit)) & 31)
    return text.tobytes()
