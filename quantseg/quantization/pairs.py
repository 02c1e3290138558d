"""Pair sums: int8 kernels may add two products in 16 bits; here weights are chosen so that no such sum saturates.

Without VNNI an x86 processor multiplies uint8 by int8 and adds two adjacent products in one instruction (vpmaddubsw)
that saturates at 16 bits. The pair sum is exact for all activations if the pair's positive weights add up to at most
128: 255 · 128 = 32,640 ≤ 32,767. Which two weights are a pair depends on the library:

    MLAS (onnxruntime):  two adjacent ones on the flattened (taps, channels) axis; an odd last one with zero
    oneDNN (OpenVINO):   two adjacent channels of one tap; an odd last one with zero

The pair's negative weights add up to at least -128, and to at least -126 where this tool chooses them: then each may
also be stored one lower with zero-point -1, which selects another of onnxruntime's kernels. No weight is -128: two
products -128 · -128 overflow the 16-bit sums of ARM kernels without dot product.
Depthwise kernels, and kernels for uint8 weights, add in wider registers and have no pairs.
Sources: Intel, Intrinsics Guide (_mm256_maddubs_epi16); onnxruntime, "Quantize ONNX models"; MLAS, QgemmU8X8KernelAvx2;
oneDNN, "Nuances of int8 computations".
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from quantseg.quantization.affine import F32, F64, Ints

MOST, LEAST = 128, -128
"""Limits of a pair: the greatest sum of its positive stored weights, and the least sum of its negative ones."""
LEAST_CHOSEN = -126
"""The limit for negative weights that this tool chooses, which leaves room to store both of a pair one lower."""

_GROWTH = 1.002
"""Factor by which a scale grows again where rounding still leaves a pair beyond its limit."""

Rows = NDArray[np.floating] | Ints
"""Weights (output channels, input channels of a group, taps)."""


Number = TypeVar("Number", bound=np.generic)


def rows_of(
    weight: NDArray[Number], *, groups: int | None = None, outputs_first: bool = False
) -> NDArray[Number] | None:
    """A weight as (output channels, input channels of a group, taps); None for a depthwise one, which has no pairs.

    weight: with groups, that of a convolution, (output channels, input channels of a group, …). Without groups, that of
    a matrix product: (inputs, outputs), or (outputs, inputs) with outputs_first, or (inputs,), or a batch of these.
    """
    if groups is not None:
        depthwise = groups > 1 and weight.shape[:2] == (groups, 1)
        return None if depthwise else weight.reshape(*weight.shape[:2], math.prod(weight.shape[2:]))
    if weight.ndim == 1:
        return weight[None, :, None]
    turned = weight if outputs_first else np.swapaxes(weight, -1, -2)
    return turned.reshape(math.prod(turned.shape[:-1]), turned.shape[-1], 1)


def orders(channels: int, taps: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """The ways in which libraries pair the weights of an output channel, each as indices of first and second weights.

    Indices are those of the flattened (channels, taps) axis. A weight that is paired with zero is its own second, and
    counts once.
    """
    flat = np.arange(channels * taps, dtype=np.int64).reshape(channels, taps).T  # indices, (taps, channels)
    along = _paired(flat.reshape(1, -1))
    if channels % 2 == 0 or taps == 1:
        return (along,)
    return along, _paired(flat)


def _paired(lines: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and second indices of the pairs along each row; an odd last one is its own second."""
    even = lines if lines.shape[1] % 2 == 0 else np.concatenate([lines, lines[:, -1:]], axis=1)
    return even[:, ::2].reshape(-1), even[:, 1::2].reshape(-1)


def excess(rows: Rows, least: int = LEAST_CHOSEN) -> F64:
    """The largest ratio of a pair's sum to its limit in each output channel, (output channels,); safe up to 1.

    rows: weights divided by their scale, rounded or not, (output channels, input channels of a group, taps). least: the
    limit for negative weights.
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
    """For each output channel, whether a pair sum of these stored integers can saturate.

    stored: (output channels, input channels of a group, taps).
    """
    lowest = stored.min(axis=(1, 2), initial=0) < -127
    found: NDArray[np.bool_] = (excess(stored, LEAST) > 1.0) | lowest
    return found


def pulled(rows: Ints) -> Ints:
    """The integers with both weights of each pair beyond its limit moved equally towards zero until the pair fits.

    This is the least change in squares. rows: (output channels, input channels of a group, taps), integers.
    """
    flat = rows.reshape(len(rows), rows.shape[1] * rows.shape[2]).copy()
    for first, second in orders(*rows.shape[1:]):
        for sign, limit in ((1, MOST), (-1, -LEAST_CHOSEN)):
            own = np.maximum(sign * flat[:, first], 0)
            other = np.where(first == second, 0, np.maximum(sign * flat[:, second], 0))
            much = np.maximum(own + other - limit, 0)
            of_other = np.maximum(np.minimum(other, much // 2), much - own)  # none changes its sign
            flat[:, first] -= sign * (much - of_other)
            flat[:, second] -= sign * of_other
    moved: Ints = flat.reshape(rows.shape)
    return moved


def safe_scale(rows: F32, scale: F32) -> F32:
    """The scales, each enlarged by what its output channel needs for no pair of its rounded weights to saturate.

    rows: real units, (output channels, input channels of a group, taps). scale: float32, (output channels,), or () per
    tensor. A scale that is safe already is unchanged.
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
