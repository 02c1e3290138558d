"""The factors of the classes of channels that minimise the rounding noise of activations and weights together.

If channel c of a tensor with scale Δ is multiplied by the factor s_c, its rounding noise, in the units of the unscaled
channel, is (Δ/s_c)²/12. A product with weights W that reads the tensor multiplies this by W², and adds the noise of its
own weights, whose grid must cover W/s. Both are divided by the power of the product's output, and the sum over all
products is minimised over log s. Cross-layer equalisation (Nagel et al., arXiv:1906.04721, section 4.1) is the case of
one pair of layers with per-tensor weights; the trade of activations against weights is that of SmoothQuant
(arXiv:2211.10438), solved instead of set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Ids = NDArray[np.int64]

SPREAD = 6.0
"""Assumed ratio of a channel's range to its standard deviation: that of some thousand normally distributed values."""
_SHARP = 12.0
"""Exponent of the norm that approximates a maximum, so that it is differentiable."""
_STEPS, _RATE = 400, 0.05
_ACTIVATION_STEPS, _WEIGHT_STEPS = 255.0, 127.0


@dataclass(frozen=True, eq=False)
class WeightReader:
    """A convolution or product, as its weights matter for the noise.

    magnitudes: largest |w| over the taps, (out, in/group). squares: Σ w² over the taps, (out, in/group). taps: their
    number. read, made: classes of input and output channels.
    """

    magnitudes: F64
    squares: F64
    taps: int
    groups: int
    read: Ids
    made: Ids


@dataclass(frozen=True, eq=False)
class TensorGrid:
    """A tensor that is rounded. ids: classes of its channels. below, above: how far each channel reaches from zero."""

    ids: Ids
    below: F64
    above: F64


def solve(
    readers: Sequence[WeightReader],
    grids: Sequence[TensorGrid],
    reach: F64,
    free: NDArray[np.bool_],
    ceilings: Mapping[int, float],
) -> F64:
    """Natural logarithms of the factors, shape (classes,); zero where a class is not free.

    reach: the width of the range of each class. free: whether the factor of a class may be chosen. ceilings: class →
    largest logarithm of its factor. Method: Adam (Kingma and Ba, arXiv:1412.6980) on the relative gradient; the best
    point that was evaluated is returned.
    """
    count = len(reach)
    power = np.square(reach / SPREAD)
    gains = np.zeros(count)
    weights = []
    for reader in readers:
        made = float(power[reader.made].sum()) or 1.0
        per_group = reader.squares.reshape(reader.groups, -1, reader.squares.shape[1]).sum(axis=1)
        np.add.at(gains, reader.read, per_group.reshape(-1) / made)
        if reader.magnitudes.shape[1] > 1:
            weights.append((reader, reader.taps / made))
    top = np.full(count, np.inf)
    for number, most in ceilings.items():
        top[number] = min(top[number], most)
    logs, first, second = np.zeros(count), np.zeros(count), np.zeros(count)
    best, least = logs, np.inf
    for step in range(_STEPS):
        value, slope = _cost(logs, gains, grids, weights, power)
        if value < least:
            best, least = logs.copy(), value
        slope = np.where(free, slope, 0.0) / max(value, 1e-300)
        first = 0.9 * first + 0.1 * slope
        second = 0.99 * second + 0.01 * slope**2
        rate = _RATE * (1 - step / _STEPS)
        move = first / (1 - 0.9 ** (step + 1)) / (np.sqrt(second / (1 - 0.99 ** (step + 1))) + 1e-12)
        logs = np.minimum(logs - rate * move, top)
    return np.where(free, best, 0.0)


def _cost(
    logs: F64, gains: F64, grids: Sequence[TensorGrid], weights: Sequence[tuple[WeightReader, float]], power: F64
) -> tuple[float, F64]:
    total, slope = 0.0, np.zeros_like(logs)
    for grid in grids:
        factors = np.exp(logs[grid.ids])
        above, above_slope = _norm(factors * grid.above)
        below, below_slope = _norm(factors * grid.below)
        share = gains[grid.ids] / factors**2
        width, noise = above + below, float(share.sum()) / (12 * _ACTIVATION_STEPS**2)
        total += noise * width**2
        change = 2 * noise * width * (above_slope + below_slope)
        change -= 2 * share * width**2 / (12 * _ACTIVATION_STEPS**2)
        np.add.at(slope, grid.ids, change)
    for reader, scale in weights:
        value, change = _weights(np.exp(logs[reader.read]), power[reader.read], reader, scale)
        total += value
        np.add.at(slope, reader.read, change)
    return total, slope


def _norm(values: F64) -> tuple[float, F64]:
    """A smooth maximum of non-negative values, and its derivative by the logarithm of each."""
    most = float(values.max(initial=0.0))
    if most == 0.0:
        return 0.0, np.zeros_like(values)
    raised = (values / most) ** _SHARP
    norm = most * float(raised.sum()) ** (1 / _SHARP)
    return norm, norm * raised / raised.sum()


def _weights(factors: F64, power: F64, reader: WeightReader, scale: float) -> tuple[float, F64]:
    """Noise of the rounded weights, and its derivative by the logarithm of each input channel's factor."""
    groups = reader.groups
    inputs = (power * factors**2).reshape(groups, -1)
    shares = reader.magnitudes.reshape(groups, -1, reader.magnitudes.shape[1]) / factors.reshape(groups, 1, -1)
    most = np.maximum(shares.max(axis=2, keepdims=True), 1e-300)
    raised = (shares / most) ** _SHARP
    sums = np.maximum(raised.sum(axis=2, keepdims=True), 1e-300)
    squared = (most * sums ** (1 / _SHARP)) ** 2
    constant = scale / (12 * _WEIGHT_STEPS**2)
    steps = squared.sum(axis=1)
    total = float((inputs.sum(axis=1) * steps[:, 0]).sum()) * constant
    shifted = (squared * raised / sums).sum(axis=1)
    change = 2 * inputs * steps - 2 * inputs.sum(axis=1, keepdims=True) * shifted
    return total, constant * change.reshape(-1)
