"""Pairs up channels: a perfect matching, improved by exchanging partners between two pairs.

The cost of a matching is summed over rows of weights, one for each output channel of each product that reads the
channels:

    cost = Σ_rows ‖1, x_1, x_2, …‖_16      x_k: the sum of pair k in the row, over its bound

a smooth approximation of the factor max(1, max x_k) by which the row's scale must grow. Powers and roots are computed
by products and square roots, which IEEE 754 rounds alike on every processor, so the same weights give the same matching
everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.quantization.affine import F32
from quantseg.quantization.pairs import LEAST, MOST

Ids = NDArray[np.int64]

_DOUBLINGS = 4
"""The exponent of the norm, 16, as a power of two."""
SWEEPS = 6
"""Most sweeps over the pairs, in which each pair looks for another one to exchange partners with."""
_MARGIN = 1e-5
"""The least gain of an exchange, per row, as a share of the cost 1 of a row without excess."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The weights of some output channels (rows) for the channels to pair.

    above, below: the positive and the negative weights, over the bound of a pair, (channels, taps, rows).
    """

    above: F32
    below: F32

    @staticmethod
    def of(steps: F32) -> "Rows":
        """steps: weights in steps of their grid, (rows, channels, taps)."""
        moved = np.ascontiguousarray(np.moveaxis(steps, 0, 2))
        return Rows(np.maximum(moved, 0) * np.float32(1 / MOST), np.minimum(moved, 0) * np.float32(1 / LEAST))


def pair_costs(runs: Sequence[Sequence[Rows]]) -> F32:
    """x^16 for each pair of channels and each row: (channels, channels, rows).

    runs: for each group of rows, the weights at each position where it reads these channels; the largest x counts.
    """
    count = len(runs[0][0].above)
    costs = np.zeros((count, count, sum(group[0].above.shape[2] for group in runs)), np.float32)
    start = 0
    for group in runs:
        stop = start + group[0].above.shape[2]
        for rows in group:
            for a in range(count):
                sums = np.maximum(rows.above[a] + rows.above[a:], rows.below[a] + rows.below[a:]).max(axis=1)
                np.maximum(costs[a, a:, start:stop], sums, out=costs[a, a:, start:stop])
        start = stop
    raised(costs)
    for a in range(count):
        costs[a:, a] = costs[a, a:]
    return costs


def raised(values: F32) -> F32:
    """The 16th power of the values, in place."""
    for _ in range(_DOUBLINGS):
        np.multiply(values, values, out=values)
    return values


def improved(costs: F32, beside: F32, pairs: Ids) -> Ids:
    """Improves a matching by exchanges of partners until none gains, or for SWEEPS sweeps.

    costs: of `pair_costs`; infinite for channels that must not be paired. beside: the sum of x^16 over all other pairs
    of each row, (rows,). pairs: the matching, (pairs, 2) of channels.
    """
    pairs = pairs.copy()
    least = _MARGIN * costs.shape[2]
    inside = costs[pairs[:, 0], pairs[:, 1]].astype(np.float64)  # float64, since small differences of these matter
    for _ in range(SWEEPS):
        moved = False
        for i in range(len(pairs)):
            a, b = pairs[i]
            whole = 1 + beside + inside.sum(axis=0)
            others = np.maximum(whole - inside[i] - inside, 1).astype(np.float32)
            now = float(_roots(whole.astype(np.float32)).sum())
            straight = _roots(others + costs[a, pairs[:, 0]] + costs[b, pairs[:, 1]]).sum(axis=1)
            crossed = _roots(others + costs[a, pairs[:, 1]] + costs[b, pairs[:, 0]]).sum(axis=1)
            found = np.stack([straight, crossed]).astype(np.float64)
            found[:, i] = np.inf
            side, j = divmod(int(np.argmin(found)), len(pairs))
            if not found[side, j] < now - least:
                continue
            c, d = pairs[j] if side == 0 else pairs[j, ::-1]
            pairs[i], pairs[j] = (a, c), (b, d)
            inside[i], inside[j] = costs[a, c], costs[b, d]
            moved = True
        if not moved:
            break
    return pairs


def _roots(values: F32) -> F32:
    """The 16th roots, in place."""
    for _ in range(_DOUBLINGS):
        np.sqrt(values, out=values)
    return values
