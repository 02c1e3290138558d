"""Straight-through rounding: how the integer of each weight is learned.

A position is a weight divided by its scale, plus the zero-point; rounded and clipped it is the stored integer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from quantseg.quantization.affine import QuantParams

EDGE = 0.25
"""Most distance of a settled position from its integer. Straight-through learning leaves many positions near the
threshold between two integers, where the first steps of the next training would flip them at random."""


@dataclass(frozen=True)
class WeightGrid:
    """The grid of a weight in torch. scale, zero: broadcast against the weight. low, high: least and greatest integer.

    safe: changes integers of the weight, a float array, so that no pair sum saturates (quantization/pairs.py); None
    where pair sums need no bound.
    """

    scale: Any
    zero: Any
    low: int
    high: int
    safe: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None

    @staticmethod
    def of(
        params: QuantParams,
        rank: int,
        limits: tuple[int, int],
        safe: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    ) -> "WeightGrid":
        """From QuantParams. rank: of the weight. limits: least and greatest integer in use. safe: see WeightGrid."""
        shape = [-1 if axis == params.axis else 1 for axis in range(rank)] if params.axis is not None else []
        scale = torch.from_numpy(np.array(params.scale, np.float32)).reshape(shape)
        zero = torch.from_numpy(np.array(params.zero_point, np.float32)).reshape(shape)
        return WeightGrid(scale, zero, *limits, safe)

    def positions(self, weight: Any) -> Any:
        """The positions of a weight, clipped to the grid."""
        return self.held(weight / self.scale + self.zero)

    def held(self, positions: Any) -> Any:
        """The positions clipped to the grid, and moved so that the pair sums of their integers keep the bound."""
        inside = torch.clamp(positions, self.low, self.high)
        if self.safe is None:
            return inside
        integers = torch.round(inside).detach()
        return inside + (torch.from_numpy(self.safe(integers.numpy())) - integers)

    def values(self, integers: Any) -> Any:
        """The real values of integers or positions: (x − zero) · scale."""
        return (integers - self.zero) * self.scale

    def rounded(self, positions: Any) -> Any:
        """The rounded weight, with the straight-through gradient of the positions."""
        return self.values(positions + (torch.round(positions) - positions).detach())


@final
class StraightThrough:
    """Straight-through rounding: the gradient of rounding is that of the identity.

    A weight may become any integer, not only the two next to it. variable: the optimised positions. Source: Bengio et
    al., arXiv:1308.3432. On the reference model `linknet` at 4 bits, 20 steps layer by layer raise the output's SQNR
    from 20.2 to 27.8 dB so, and to 25.6 dB by the shares between two integers of AdaRound (arXiv:2004.10568).
    """

    def __init__(self, grid: WeightGrid, positions: Any) -> None:
        self._grid = grid
        self.variable = positions.clone().requires_grad_()

    def weight(self) -> Any:
        """The rounded weight, with which the network computes at this step."""
        return self._grid.rounded(self.variable)

    def keep_inside(self) -> None:
        """Clips the positions: beyond the grid or the pair bound they would have no effect until they came back."""
        self.variable.copy_(self._grid.held(self.variable))

    def settled(self) -> Any:
        """The positions, at most EDGE from their integers."""
        position = self.variable.detach()
        chosen = torch.round(position)
        return torch.minimum(torch.maximum(position, chosen - EDGE), chosen + EDGE)
