"""Sums of two products that 16 bits do not hold, and what saturation takes from them.

A processor with AVX2 and without VNNI multiplies uint8 by int8 and adds two neighbours in one instruction (VPMADDUBSW)
whose result saturates at 16 bits:  s = x_0 w_0 + x_1 w_1,  held within ±32767 although 2 · 255 · 127 = 64770.
Neighbours are those on the inner axis of the product, in the kernel's order. So a saturating sum is the exact one and
Σ (clip(s) − s) over the few pairs that can leave 16 bits, which are all that is computed here.
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
"""What 16 bits hold."""


@dataclass(frozen=True)
class Beyond:
    """One pair of neighbours on the inner axis, where its sums may leave 16 bits.

    channels, columns: places of rows and columns. lost: clip(s) − s of each, (channels, columns).
    """

    channels: NDArray[np.int64]
    columns: NDArray[np.int64]
    lost: F32


def neighbours(matrix: F32) -> tuple[F32, F32]:
    """First and second of each two neighbours on the last axis; a last one alone has a zero beside it."""
    ((first, second),) = orders(matrix.shape[1], 1)
    return matrix[:, first], np.where(first == second, np.float32(0), matrix[:, second])


def possible(rows: F32) -> NDArray[np.bool_]:
    """Whether a channel's int8 weights let a pair saturate, with both uint8 factors at 255. rows: (channels, inner)."""
    return np.asarray(_suspects(rows, 0, 255).any(axis=1))


def beyond(rows: F32, values: F32) -> Iterator[Beyond]:
    """Each pair that may saturate. rows: (channels, inner), values: (inner, many), whole numbers as they are stored.

    Only pairs that the largest factors of this matrix could saturate are multiplied out, and only where they are large.
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
    """The least and the largest sum of each channel and pair, of factors from `least` to `most`, (inner,)."""
    ends = rows * np.float32(least), rows * np.float32(most)
    down, up = (np.add(*neighbours(each(*ends))) for each in (np.minimum, np.maximum))
    return down, up


def _suspects(rows: F32, least: F32 | float, most: F32 | float) -> NDArray[np.bool_]:
    """Of each channel and pair, whether factors from `least` to `most`, (inner,), take its sum out of 16 bits."""
    down, up = _reach(rows, least, most)
    return np.asarray((up > LARGEST) | (down < LEAST))


def most_lost(rows: F32, least: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """By how much saturation may make a channel's sums smaller, and larger, for factors from `least` to `most`."""
    down, up = _reach(rows, least, most)
    smaller, larger = np.maximum(up - LARGEST, 0), np.maximum(LEAST - down, 0)
    return smaller.sum(axis=1, dtype=np.float64).astype(np.int64), larger.sum(axis=1, dtype=np.float64).astype(np.int64)


def saturated(sums: Array, rows: F32, values: F32) -> Array:
    """Exact sums (channels, many), which may have more added, as a kernel has them that saturates.

    rows, values: as of `beyond`. The sums themselves where nothing saturates, else new ones in int64.
    """
    found = sums
    for pair in beyond(rows, values):
        if pair.lost.any():
            found = found.astype(np.int64) if found is sums else found
            found[np.ix_(pair.channels, pair.columns)] += pair.lost.astype(np.int64)
    return found
