"""Which pair sums of a product saturate on a processor with AVX2 and without VNNI, counted for each channel.

See pair_sums.py. 7-bit weights cannot saturate: 2 · 255 · 64 = 32640. Kernels for depthwise convolutions and for uint8
weights use wider instructions. Every product is counted that the kernels of some library add in 16 bits: also int8
data, to which oneDNN adds 128, and ConvInteger, both of which onnxruntime adds exactly (see convolution.paired).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.quantization.affine import F32
from quantseg.quantization.integer_operands import CONVOLUTIONS, PRODUCTS
from quantseg.simulation.arithmetic.accumulators import columns
from quantseg.simulation.arithmetic.call import Call
from quantseg.simulation.arithmetic.pair_sums import beyond, possible


@dataclass(frozen=True)
class Saturation:
    """Counts for each output channel, (channels,).

    pairs: pair sums that saturated. results: outputs that contain one. possible: whether any input could saturate a
    pair sum. sums: the number of pair sums examined, over all channels.
    """

    pairs: NDArray[np.int64]
    results: NDArray[np.int64]
    possible: NDArray[np.bool_]
    sums: int

    def __add__(self, other: "Saturation") -> "Saturation":
        """The counts of both, for the same channels."""
        return Saturation(
            self.pairs + other.pairs,
            self.results + other.results,
            self.possible | other.possible,
            self.sums + other.sums,
        )


def saturation(op_type: str, call: Call) -> Saturation | None:
    """Counts the saturated pair sums of one call; None where no kernel adds its products in 16-bit pairs."""
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


def count(rows: F32, values: F32) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each channel, the saturated pair sums and the results that contain one.

    rows: int8 weights, (channels, inner). values: uint8 data, (inner, columns).
    """
    pairs = np.zeros(len(rows), np.int64)
    touched = np.zeros((len(rows), values.shape[1]), bool)
    for pair in beyond(rows, values):
        hit = pair.lost != 0
        pairs[pair.channels] += hit.sum(axis=1)
        touched[np.ix_(pair.channels, pair.columns)] |= hit
    return pairs, touched.sum(axis=1)


def stored_rows(op_type: str, call: Call) -> F32 | None:
    """The stored int8 weight as (channels, inner), inner axis in the kernel's order; None if it cannot saturate."""
    if op_type == "QLinearConvTranspose":
        return None  # no runtime has an integer kernel for it
    weight = call.array(PRODUCTS[op_type].weight)
    if weight.dtype != np.int8 or weight.ndim < 2:
        return None
    if op_type in CONVOLUTIONS:
        if weight.shape[1] == 1 and call.number("group", 1) == weight.shape[0]:
            return None  # depthwise
        places = np.moveaxis(weight.reshape(*weight.shape[:2], -1), 1, 2)
        return np.ascontiguousarray(places.reshape(len(weight), -1)).astype(np.float32)
    if weight.ndim != 2:
        return None
    across = op_type == "QGemm" and bool(call.number("transB", 0))
    return np.ascontiguousarray(weight if across else weight.T).astype(np.float32)
