"""Sums of two products that 16 bits do not hold.

A processor with AVX2 and without VNNI multiplies uint8 by int8 and adds two neighbours in one instruction (VPMADDUBSW)
whose result saturates at 16 bits:  s = x_0 w_0 + x_1 w_1,  held within ±32767 although 2 · 255 · 127 = 64770.
Neighbours are those on the inner axis of the product: two channels at the same place of the kernel. Weights of 7 bits
cannot do that: 2 · 255 · 64 = 32640. Depthwise kernels and uint8 weights take wider instructions.
Sources: Intel, Intrinsics Guide; onnxruntime's documentation, "Quantize ONNX models"; MLAS, QgemmU8X8KernelAvx2.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.affine import F32
from quantseg.simulator.accumulators import columns
from quantseg.simulator.call import Call

LEAST, LARGEST = -(1 << 15), (1 << 15) - 1


@dataclass(frozen=True)
class Saturation:
    """Of each output channel: pair sums that saturated, results with such a sum in them, and whether one ever could.

    sums: pair sums that were looked at, of all channels together.
    """

    pairs: NDArray[np.int64]
    results: NDArray[np.int64]
    possible: NDArray[np.bool_]
    sums: int

    def __add__(self, other: "Saturation") -> "Saturation":
        """Both together, of the same channels."""
        return Saturation(
            self.pairs + other.pairs,
            self.results + other.results,
            self.possible | other.possible,
            self.sums + other.sums,
        )


def saturation(op_type: str, call: Call) -> Saturation | None:
    """Counts one call's saturated pair sums; None where the kernel adds no pairs in 16 bits."""
    rows = stored_rows(op_type, call)
    if rows is None:
        return None
    pairs, results, looked_at = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), 0
    for which, values in columns(op_type, call):
        weights = rows[which]
        found, touched = count(weights, values)
        pairs[which] += found
        results[which] += touched
        looked_at += weights.shape[0] * -(-weights.shape[1] // 2) * values.shape[1]
    return Saturation(pairs, results, possible(rows), looked_at)


def possible(rows: F32) -> NDArray[np.bool_]:
    """Whether a channel's weights let a pair saturate, with both factors at 255."""
    first, second = _pairs(rows)
    up = 255 * (np.maximum(first, 0) + np.maximum(second, 0))
    down = 255 * (np.minimum(first, 0) + np.minimum(second, 0))
    return np.asarray(((up > LARGEST) | (down < LEAST)).any(axis=1))


def count(rows: F32, values: F32) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """rows: (channels, inner) int8 weights; values: (inner, many) uint8 factors. Saturated pairs, and results hit.

    Only pairs that the largest factors of this matrix could saturate are multiplied out.
    """
    first, second = _pairs(rows)
    most = values.max(axis=1, initial=0)
    left, right = _pairs(most[None, :])
    up = np.maximum(first, 0) * left + np.maximum(second, 0) * right
    down = np.minimum(first, 0) * left + np.minimum(second, 0) * right
    suspect = (up > LARGEST) | (down < LEAST)
    pairs = np.zeros(len(rows), np.int64)
    touched = np.zeros((len(rows), values.shape[1]), bool) if suspect.any() else np.zeros((len(rows), 0), bool)
    for pair in np.nonzero(suspect.any(axis=0))[0]:
        channels = np.nonzero(suspect[:, pair])[0]
        other = values[2 * pair + 1] if 2 * pair + 1 < len(values) else np.zeros_like(values[0])
        sums = first[channels, pair, None] * values[2 * pair] + second[channels, pair, None] * other
        beyond = (sums > LARGEST) | (sums < LEAST)
        pairs[channels] += beyond.sum(axis=1)
        touched[channels] |= beyond
    return pairs, touched.sum(axis=1)


def stored_rows(op_type: str, call: Call) -> F32 | None:
    """The int8 weight as stored, (channels, inner), the inner axis in the kernel's order; None for other kernels."""
    if op_type == "QLinearConvTranspose":
        return None  # no kernel of any runtime
    index = {"ConvInteger": 1, "MatMulInteger": 1}.get(op_type, 3)
    weight = call.array(index)
    if weight.dtype != np.int8 or weight.ndim < 2:
        return None
    if op_type in ("QLinearConv", "ConvInteger"):
        if weight.shape[1] == 1 and call.number("group", 1) == weight.shape[0]:
            return None  # depthwise
        places = np.moveaxis(weight.reshape(*weight.shape[:2], -1), 1, 2)
        return np.ascontiguousarray(places.reshape(len(weight), -1)).astype(np.float32)
    if weight.ndim != 2:
        return None
    across = op_type == "QGemm" and bool(call.number("transB", 0))
    return np.ascontiguousarray(weight if across else weight.T).astype(np.float32)


def _pairs(rows: F32) -> tuple[F32, F32]:
    """First and second of each two neighbours; a last one alone has a zero beside it."""
    even = rows if rows.shape[1] % 2 == 0 else np.pad(rows, [(0, 0), (0, 1)])
    return even[:, ::2], even[:, 1::2]
