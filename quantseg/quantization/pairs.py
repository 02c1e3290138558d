"""Pair sums: the two products that an int8 kernel adds in 16 bits, and integers with which no such sum saturates.

Without VNNI an x86 processor multiplies uint8 by int8 and adds two neighbours in one instruction (vpmaddubsw) that
saturates at 16 bits. A sum of two products is exact for every activation where the weights of one sign add up to no
more than 128: 255 · 128 = 32,640 ≤ 32,767. Which two weights are neighbours depends on the library:

    MLAS (onnxruntime):  the flattened (taps, channels) axis, two by two; a last odd one beside zero
    oneDNN (OpenVINO):   two channels of one tap; the last of an odd number beside zero

The negative ones add up to no less than -128, and to -126 where this tool chooses them: so each may also be stored one
step lower with zero-point -1, as one of onnxruntime's kernels wants it. No weight is -128, whose square twice overflows
the 16-bit sums of ARM's kernels without dot product.
Depthwise kernels, and those of uint8 weights, add in wider registers and have no neighbours.
Sources: Intel, Intrinsics Guide (_mm256_maddubs_epi16); onnxruntime, "Quantize ONNX models"; MLAS, QgemmU8X8KernelAvx2;
oneDNN, "Nuances of int8 computations".
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from quantseg.quantization.affine import F32, F64, Ints

MOST, LEAST = 128, -128
"""What the positive stored weights of a pair may add up to at most, and the negative ones at least."""
LEAST_CHOSEN = -126
"""The same for negative weights that this tool chooses: two steps are left for storing both of them one lower."""

_GROWTH = 1.002
"""By how much a scale grows where rounding pushed a pair beyond its limit once more."""

Rows = NDArray[np.floating] | Ints
"""Weights (output channels, input channels of a group, taps)."""


Number = TypeVar("Number", bound=np.generic)


def rows_of(
    weight: NDArray[Number], *, groups: int | None = None, outputs_first: bool = False
) -> NDArray[Number] | None:
    """A weight as (output channels, input channels of a group, taps); None for a depthwise one, without neighbours.

    weight: that of a convolution in so many groups, (output channels, input channels of a group, …), or, without
    groups, of a matrix product: (inputs, outputs), (outputs, inputs) with outputs_first, (inputs,), or a stack of them.
    """
    if groups is not None:
        depthwise = groups > 1 and weight.shape[:2] == (groups, 1)
        return None if depthwise else weight.reshape(*weight.shape[:2], math.prod(weight.shape[2:]))
    if weight.ndim == 1:
        return weight[None, :, None]
    turned = weight if outputs_first else np.swapaxes(weight, -1, -2)
    return turned.reshape(math.prod(turned.shape[:-1]), turned.shape[-1], 1)


def orders(channels: int, taps: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """The ways in which libraries pair the weights of one output channel, each as places of first and second ones.

    A place counts along a flat (channels, taps) axis. A weight beside zero is its own second, and counts once.
    """
    flat = np.arange(channels * taps, dtype=np.int64).reshape(channels, taps).T  # (taps, channels) of places
    along = _paired(flat.reshape(1, -1))
    if channels % 2 == 0 or taps == 1:
        return (along,)
    return along, _paired(flat)


def _paired(lines: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and second places of each two neighbours of a line; a last odd one is its own second."""
    even = lines if lines.shape[1] % 2 == 0 else np.concatenate([lines, lines[:, -1:]], axis=1)
    return even[:, ::2].reshape(-1), even[:, 1::2].reshape(-1)


def excess(rows: Rows, least: int = LEAST_CHOSEN) -> F64:
    """How many times its limit the worst pair of each output channel has, (output channels,); safe up to 1.

    rows: in steps of their grid, whole or not, (output channels, input channels of a group, taps). least: the limit
    below zero.
    """
    found = np.zeros(len(rows))
    flat = rows.reshape(len(rows), rows.shape[1] * rows.shape[2])
    for first, second in orders(*rows.shape[1:]):
        above, below = pair_sums(flat, first, second)
        found = np.maximum(found, np.maximum(above / MOST, below / least).max(axis=1, initial=0.0))
    return found


def pair_sums(flat: Rows, first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[F64, F64]:
    """The sums of the positive and of the negative weights of each pair, (output channels, pairs).

    flat: (output channels, channels · taps).
    """
    alone = first == second
    above, below = np.maximum(flat, 0).astype(np.float64), np.minimum(flat, 0).astype(np.float64)
    return (
        above[:, first] + np.where(alone, 0.0, above[:, second]),
        below[:, first] + np.where(alone, 0.0, below[:, second]),
    )


def unsafe(stored: Ints) -> NDArray[np.bool_]:
    """Whether a pair sum of the integers as a file stores them can saturate, for each output channel.

    stored: (output channels, input channels of a group, taps).
    """
    lowest = stored.min(axis=(1, 2), initial=0) < -127
    found: NDArray[np.bool_] = (excess(stored, LEAST) > 1.0) | lowest
    return found


def pulled(rows: Ints) -> Ints:
    """The integers with each pair beyond its limits moved towards zero until it fits, both by the same.

    That is the least change in squares. rows: (output channels, input channels of a group, taps), integers.
    """
    flat = rows.reshape(len(rows), rows.shape[1] * rows.shape[2]).copy()
    for first, second in orders(*rows.shape[1:]):
        for sign, limit in ((1, MOST), (-1, -LEAST_CHOSEN)):
            own = np.maximum(sign * flat[:, first], 0)
            other = np.where(first == second, 0, np.maximum(sign * flat[:, second], 0))
            much = np.maximum(own + other - limit, 0)
            of_other = np.maximum(np.minimum(other, much // 2), much - own)  # none takes more than it has of this sign
            flat[:, first] -= sign * (much - of_other)
            flat[:, second] -= sign * of_other
    moved: Ints = flat.reshape(rows.shape)
    return moved


def safe_scale(rows: F32, scale: F32) -> F32:
    """The scales, each grown by just what its output channel needs for its nearest integers to be safe.

    rows: real units, (output channels, input channels of a group, taps). scale: float32, (output channels,), or () for
    one of all channels. A scale that is safe already is given back as it is.
    """
    grown = np.broadcast_to(scale, (len(rows),)).astype(np.float32)
    first = True
    while True:
        steps = rows / grown[:, None, None]
        beyond = excess(np.rint(steps)) > 1.0
        if not beyond.any():
            return np.asarray(grown.max(initial=0.0) if scale.ndim == 0 else grown, np.float32).reshape(scale.shape)
        factor = np.where(beyond, np.maximum(excess(steps), 1.0) if first else _GROWTH, 1.0)
        grown = (grown * (factor.max() if scale.ndim == 0 else factor)).astype(np.float32)
        first = False
