"""The answer of an operator rule."""

from dataclasses import dataclass
from enum import Enum

from quantseg.quantization.affine import Range


class Kind(Enum):
    """How an operator treats the numbers, which decides where integers pay and where grids are shared."""

    PRODUCT = "product"
    """Sums of products in int32: it pays for quantising its inputs, so it is worth a region of its own."""
    ARITHMETIC = "arithmetic"
    """Computes new values and rounds them to a grid of their own; worth it between integer neighbours only."""
    CLAMP = "clamp"
    """Cuts a range off; the saturation of a grid does that for nothing."""
    MOVEMENT = "movement"
    """Moves or selects values: the output lives on the input's grid, exactly."""
    INTERPOLATION = "interpolation"
    """Averages neighbours: the output lives on the input's grid, rounded."""
    COMPARISON = "comparison"
    """Compares two tensors on one grid: the answer is no number."""
    ANSWER = "answer"
    """Orders the numbers of one tensor, whose integers are ordered alike: the answer is a class, exactly."""
    JOIN = "join"
    """Puts several tensors into one, whose grid they share where that is cheap."""


@dataclass(frozen=True)
class IntegerForm:
    """What a node needs in order to compute in integers.

    data: positions of the activation inputs. weight: position of the constant int8 operand, quantised along
    `weight_axis` (the axis of its output channels). bias: position of the int32 summand. fixed: the range that the
    output has whatever the data is. least: the range that the grid of a calibrated output covers at least.
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
        """Whether output and input have the same scale and zero-point."""
        return self.kind in (Kind.MOVEMENT, Kind.INTERPOLATION)

    @property
    def is_exact(self) -> bool:
        """Whether integers lose nothing here: no value is computed anew."""
        return self.kind in (Kind.MOVEMENT, Kind.CLAMP, Kind.COMPARISON, Kind.ANSWER)


@dataclass(frozen=True)
class KeptFloat:
    """The decision that a node computes in float, and why."""

    reason: str
