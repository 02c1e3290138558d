"""Pair sums that saturate at 16 bits, and by how much they change the sums of a product.

A processor with AVX2 and without VNNI multiplies uint8 by int8 and adds two adjacent products in one instruction
(VPMADDUBSW), which saturates at int16:  s = x_0 w_0 + x_1 w_1  is clipped to ±32767, although 2 · 255 · 127 = 64770.
Pairs are adjacent on the product's inner axis, in the kernel's order. The saturated sum is the exact sum plus
Σ (clip(s) − s); only the few pairs whose s can exceed int16 are computed here.
Sources: Intel, Intrinsics Guide; onnxruntime's documentation, "Quantize ONNX models"; MLAS, QgemmU8X8KernelAvx2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.quantization.affine import F32
from quantseg.quantization.pairs import orders

Array = NDArray[Any]
LEAST, LARGEST = -(1 << 15), (1 << 15) - 1
"""The range of int16."""


@dataclass(frozen=True)
class Beyond:
    """One pair on the inner axis, at the channels and columns where its sum s may exceed int16.

    channels, columns: their indices. lost: clip(s) − s, (channels, columns).
    """

    channels: NDArray[np.int64]
    columns: NDArray[np.int64]
    lost: F32


def neighbours(matrix: F32) -> tuple[F32, F32]:
    """The first and the second elements of the pairs on the last axis, padded with a zero if its length is odd."""
    ((first, second),) = orders(matrix.shape[1], 1)
    return matrix[:, first], np.where(first == second, np.float32(0), matrix[:, second])


def possible(rows: F32) -> NDArray[np.bool_]:
    """For each channel, whether its int8 weights can make a pair sum saturate. rows: (channels, inner)."""
    return np.asarray(_suspects(rows, 0, 255).any(axis=1))


def beyond(rows: F32, values: F32) -> Iterator[Beyond]:
    """The pairs that may saturate. rows: (channels, inner), values: (inner, columns), whole numbers as stored.

    Only pairs that can saturate with the extreme values of this matrix are multiplied, and only in columns where their
    values are large enough.
    """
    if not values.size:
        return
    suspects = _suspects(rows, values.min(axis=1), values.max(axis=1))
    first, second = neighbours(rows)
    nothing = np.zeros_like(values[0])
    for pair in np.nonzero(suspects.any(axis=0))[0]:
        channels = np.nonzero(suspects[:, pair])[0]
        left, right = first[channels, pair, None], second[channels, pair, None]
        one, other = values[2 * pair], values[2 * pair + 1] if 2 * pair + 1 < len(values) else nothing
        heaviest = max(float(np.abs(left).max()), float(np.abs(right).max()))
        columns = np.nonzero((np.abs(one) + np.abs(other)) * heaviest > LARGEST)[0]
        if columns.size:
            sums = left * one[columns] + right * other[columns]
            yield Beyond(channels, columns, np.clip(sums, LEAST, LARGEST) - sums)


def _reach(rows: F32, least: F32 | float, most: F32 | float) -> tuple[F32, F32]:
    """The least and the largest sum of each (channel, pair), for values between `least` and `most`, (inner,)."""
    ends = rows * np.float32(least), rows * np.float32(most)
    down, up = (np.add(*neighbours(each(*ends))) for each in (np.minimum, np.maximum))
    return down, up


def _suspects(rows: F32, least: F32 | float, most: F32 | float) -> NDArray[np.bool_]:
    """For each (channel, pair), whether values between `least` and `most`, (inner,), can take its sum beyond int16."""
    down, up = _reach(rows, least, most)
    return np.asarray((up > LARGEST) | (down < LEAST))


def most_lost(rows: F32, least: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """By how much saturation may lower and raise the sums of each channel, for values between `least` and `most`."""
    down, up = _reach(rows, least, most)
    smaller, larger = np.maximum(up - LARGEST, 0), np.maximum(LEAST - down, 0)
    return smaller.sum(axis=1, dtype=np.float64).astype(np.int64), larger.sum(axis=1, dtype=np.float64).astype(np.int64)


def saturated(sums: Array, rows: F32, values: F32) -> Array:
    """The sums of a saturating kernel from the exact ones, (channels, columns), which may include a bias.

    rows, values: as for `beyond`. Returns `sums` itself where nothing saturates, else a new int64 array.
    """
    found = sums
    for pair in beyond(rows, values):
        if pair.lost.any():
            found = found.astype(np.int64) if found is sums else found
            found[np.ix_(pair.channels, pair.columns)] += pair.lost.astype(np.int64)
    return found
