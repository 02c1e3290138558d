"""How the integers of a weight are learned: from where it lies between two of them, to one of them.

A position is a weight in steps of its grid, zero-point added; rounded and cut off at the ends, it is the integer that
is stored. Two ways move positions, one class each, all in one table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray

from quantseg.quantization.affine import QuantParams

STRETCH, SHIFT = 1.2, -0.1
"""The sigmoid of a share runs from -0.1 to 1.1 before it is rectified."""
INSIDE = 0.01
"""How far within its two integers a share starts: at their very place it would have no gradient."""
EDGE = 0.25
"""How far from its integer a settled position lies at most. Learning straight through leaves many positions by the
thresholds between two integers, where the first steps of what comes next would turn them over for nothing."""
WARM_UP = 0.2
"""The part of the steps before the penalty begins."""
SHARP, BLUNT = 2.0, 20.0
"""The exponent of the penalty at the end and at the start."""


@dataclass(frozen=True)
class WeightGrid:
    """The grid of a weight in torch: scale and zero-point broadcast against it. low, high: the integers at its ends.

    safe: makes integers of a weight, as a float array, such that none of their pair sums saturates; None where none
    could, or where they may.
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
        """limits: the integers in use, which may be fewer than the type has. safe: see WeightGrid."""
        shape = [-1 if axis == params.axis else 1 for axis in range(rank)] if params.axis is not None else []
        scale = torch.from_numpy(np.array(params.scale, np.float32)).reshape(shape)
        zero = torch.from_numpy(np.array(params.zero_point, np.float32)).reshape(shape)
        return WeightGrid(scale, zero, *limits, safe)

    def positions(self, weight: Any) -> Any:
        """The weight in steps, cut off at the ends of the grid."""
        return self.held(weight / self.scale + self.zero)

    def held(self, positions: Any) -> Any:
        """The positions, of each pair that would be beyond its limit both moved by what its integers have to."""
        inside = torch.clamp(positions, self.low, self.high)
        if self.safe is None:
            return inside
        integers = torch.round(inside).detach()
        return inside + (torch.from_numpy(self.safe(integers.numpy())) - integers)

    def values(self, integers: Any) -> Any:
        """What integers, or numbers between them, stand for."""
        return (integers - self.zero) * self.scale

    def rounded(self, positions: Any) -> Any:
        """The weight that is stored, its gradient that of the position."""
        return self.values(positions + (torch.round(positions) - positions).detach())


class Rounding(Protocol):
    """A weight while it is being learned. variable: what the optimiser moves. pace: how fast, beside positions."""

    pace: ClassVar[float]
    variable: Any

    def weight(self) -> Any:
        """The weight as the network computes with it now."""

    def penalty(self, progress: float) -> Any:
        """What drives it to a decision: 0 where it is decided, at most 1. progress: of learning, 0 to 1."""

    def keep_inside(self) -> None:
        """Takes back what went beyond the ends of the grid, after a step."""

    def settled(self) -> Any:
        """Positions that round to what was decided."""


@final
class StraightThrough:
    """Rounding counts as the identity, so that a weight may also leave its two neighbours.

    Source: Bengio et al., arXiv:1308.3432.
    """

    pace: ClassVar[float] = 1.0

    def __init__(self, grid: WeightGrid, positions: Any) -> None:
        self._grid = grid
        self.variable = positions.clone().requires_grad_()

    def weight(self) -> Any:
        """The rounded weight."""
        return self._grid.rounded(self.variable)

    def penalty(self, progress: float) -> Any:
        """Nothing: it is decided at every moment."""
        return torch.zeros(())

    def keep_inside(self) -> None:
        """Beyond the ends, or its pair's limit, it would have to come back before anything changes."""
        self.variable.copy_(self._grid.held(self.variable))

    def settled(self) -> Any:
        """The positions, a quarter of a step from their integers at most."""
        position = self.variable.detach()
        chosen = torch.round(position)
        return torch.minimum(torch.maximum(position, chosen - EDGE), chosen + EDGE)


@final
class AdaRound:
    """Each weight takes a share h of the way from the integer below to the one above.

    h = clip(1.2 · sigmoid(v) − 0.1, 0, 1) reaches both, and a penalty 1 − |2h − 1|^β that grows sharper, as β falls,
    pushes it there. Source: Nagel et al., arXiv:2004.10568, section 4.
    """

    pace: ClassVar[float] = 2.5

    def __init__(self, grid: WeightGrid, positions: Any) -> None:
        self._grid, self._positions = grid, positions
        self._below = torch.floor(positions)
        start = torch.clamp(positions - self._below, INSIDE, 1 - INSIDE)
        self.variable = torch.logit((start - SHIFT) / STRETCH).requires_grad_()

    def share(self) -> Any:
        """h."""
        return torch.clamp(STRETCH * torch.sigmoid(self.variable) + SHIFT, 0.0, 1.0)

    def weight(self) -> Any:
        """The weight between its two integers."""
        return self._grid.values(torch.clamp(self._below + self.share(), self._grid.low, self._grid.high))

    def penalty(self, progress: float) -> Any:
        """1 − |2h − 1|^β on average, after a time without."""
        if progress < WARM_UP:
            return torch.zeros(())
        beta = BLUNT + (SHARP - BLUNT) * (progress - WARM_UP) / (1 - WARM_UP)
        return (1 - (2 * self.share() - 1).abs().pow(beta)).mean()

    def keep_inside(self) -> None:
        """The shares are inside by themselves."""

    def settled(self) -> Any:
        """As near as they can be to where they were, on the side of the integer that the share came closer to."""
        chosen = self._grid.held(self._below + (self.share() >= 0.5)).detach()
        return torch.minimum(torch.maximum(self._positions, chosen - EDGE), chosen + EDGE)


ROUNDINGS: dict[str, type[StraightThrough] | type[AdaRound]] = {
    "straight-through": StraightThrough,
    "adaround": AdaRound,
}
