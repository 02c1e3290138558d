"""Rounding methods: how the integer of each weight is learned.

A position is a weight divided by its scale, plus the zero-point; rounded and clipped it is the stored integer. There
are two methods, straight-through and AdaRound, one class each, in one table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray

from quantseg.quantization.affine import QuantParams

STRETCH, SHIFT = 1.2, -0.1
"""The stretched sigmoid of AdaRound runs from -0.1 to 1.1 before it is clipped."""
INSIDE = 0.01
"""How far from 0 and 1 the share h of AdaRound starts at least: at 0 and 1 it would have no gradient."""
EDGE = 0.25
"""Most distance of a settled position from its integer. Straight-through learning leaves many positions near the
threshold between two integers, where the first steps of the next training would flip them at random."""
WARM_UP = 0.2
"""The share of the steps before the penalty begins."""
SHARP, BLUNT = 2.0, 20.0
"""The exponent β of AdaRound's penalty at the end and at the start."""


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


class Rounding(Protocol):
    """A weight while it is learned. variable: the optimised tensor. pace: its learning rate relative to positions."""

    pace: ClassVar[float]
    variable: Any

    def weight(self) -> Any:
        """The weight that the network computes with at this step."""

    def penalty(self, progress: float) -> Any:
        """The penalty for undecided roundings: 0 where all are decided, at most 1. progress: of training, 0 to 1."""

    def keep_inside(self) -> None:
        """Moves the variable back within the grid after a step."""

    def settled(self) -> Any:
        """Positions that round to the learned integers."""


@final
class StraightThrough:
    """Straight-through rounding: the gradient of rounding is that of the identity.

    A weight may become any integer, not only the two next to it. Source: Bengio et al., arXiv:1308.3432.
    """

    pace: ClassVar[float] = 1.0

    def __init__(self, grid: WeightGrid, positions: Any) -> None:
        self._grid = grid
        self.variable = positions.clone().requires_grad_()

    def weight(self) -> Any:
        """The rounded weight."""
        return self._grid.rounded(self.variable)

    def penalty(self, progress: float) -> Any:
        """Zero: the weight is rounded at every step."""
        return torch.zeros(())

    def keep_inside(self) -> None:
        """Clips the positions: beyond the grid or the pair bound they would have no effect until they came back."""
        self.variable.copy_(self._grid.held(self.variable))

    def settled(self) -> Any:
        """The positions, at most EDGE from their integers."""
        position = self.variable.detach()
        chosen = torch.round(position)
        return torch.minimum(torch.maximum(position, chosen - EDGE), chosen + EDGE)


@final
class AdaRound:
    """AdaRound: each weight is at a share h of the way from the integer below to the one above.

    h = clip(1.2 · sigmoid(v) − 0.1, 0, 1) can reach 0 and 1; a penalty 1 − |2h − 1|^β, with β falling during training,
    pushes it to one of them. Source: Nagel et al., arXiv:2004.10568, section 4.
    """

    pace: ClassVar[float] = 2.5

    def __init__(self, grid: WeightGrid, positions: Any) -> None:
        self._grid, self._positions = grid, positions
        self._below = torch.floor(positions)
        start = torch.clamp(positions - self._below, INSIDE, 1 - INSIDE)
        self.variable = torch.logit((start - SHIFT) / STRETCH).requires_grad_()

    def share(self) -> Any:
        """The share h of each weight."""
        return torch.clamp(STRETCH * torch.sigmoid(self.variable) + SHIFT, 0.0, 1.0)

    def weight(self) -> Any:
        """The weight between its two integers."""
        return self._grid.values(torch.clamp(self._below + self.share(), self._grid.low, self._grid.high))

    def penalty(self, progress: float) -> Any:
        """The mean of 1 − |2h − 1|^β; zero during the first WARM_UP of the steps."""
        if progress < WARM_UP:
            return torch.zeros(())
        beta = BLUNT + (SHARP - BLUNT) * (progress - WARM_UP) / (1 - WARM_UP)
        return (1 - (2 * self.share() - 1).abs().pow(beta)).mean()

    def keep_inside(self) -> None:
        """Nothing to do: h is clipped."""

    def settled(self) -> Any:
        """The original positions, moved to within EDGE of the integer that h is nearer to."""
        chosen = self._grid.held(self._below + (self.share() >= 0.5)).detach()
        return torch.minimum(torch.maximum(self._positions, chosen - EDGE), chosen + EDGE)


ROUNDINGS: dict[str, type[StraightThrough] | type[AdaRound]] = {
    "straight-through": StraightThrough,
    "adaround": AdaRound,
}
