"""The result of an operator rule."""

from dataclasses import dataclass
from enum import Enum

from quantseg.quantization.affine import Range


class Kind(Enum):
    """What an operator does with values; this decides where integers pay and where grids are shared."""

    PRODUCT = "product"
    """Sums of products in an int32 accumulator: so much faster that it is worth quantising its inputs for it alone."""
    ARITHMETIC = "arithmetic"
    """New values, requantised to a grid of their own; worth it only between integer neighbours."""
    CLAMP = "clamp"
    """Clamps values, which the saturation of a grid does at no cost."""
    MOVEMENT = "movement"
    """Moves or selects values: the output has the input's grid and is exact."""
    INTERPOLATION = "interpolation"
    """Averages neighbours: the output has the input's grid and is rounded."""
    COMPARISON = "comparison"
    """Compares two tensors on one grid: the output is boolean."""
    HEAD = "head"
    """Compares the elements of one tensor: the output is class ids and is exact, as a grid keeps their order."""
    JOIN = "join"
    """Concatenates tensors; they share the output's grid where that is cheap."""


@dataclass(frozen=True)
class IntegerForm:
    """What a node needs to compute in integers.

    data: input indices of the activations. weight: input index of the constant weight, quantised per channel along
    `weight_axis`, its axis of output channels. bias: input index of the int32 bias. fixed: the output's range where it
    does not depend on the data. least: a range that a calibrated output's grid must cover.
    """

    kind: Kind
    data: tuple[int, ...] = (0,)
    weight: int | None = None
    weight_axis: int | None = None
    bias: int | None = None
    fixed: Range | None = None
    least: Range | None = None

    @property
    def shares_grid(self) -> bool:
        """Whether output and input have the same grid."""
        return self.kind in (Kind.MOVEMENT, Kind.INTERPOLATION)

    @property
    def is_exact(self) -> bool:
        """Whether the operator rounds nothing in integers."""
        return self.kind in (Kind.MOVEMENT, Kind.CLAMP, Kind.COMPARISON, Kind.HEAD)


@dataclass(frozen=True)
class KeptFloat:
    """The decision that a node computes in float, and why."""

    reason: str
