"""Where two computations of one tensor differ, and by how much."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.simulation.step import Step

Array = NDArray[Any]
SHOWN = 5
"""How many differing values are kept as examples."""


@dataclass(frozen=True)
class DifferingValue:
    """One value that differs. place: its index. mine: the simulator's value. other: the compared computation's."""

    place: tuple[int, ...]
    mine: float
    other: float


@dataclass(frozen=True)
class Difference:
    """One tensor that differs. values: how many of its `size` values differ; largest: the largest |difference|.

    integer: whether an integer operator, or one that only moves values, made it, rather than a float operator. image:
    the first image on which it differs.
    """

    tensor: str
    node: str
    op_type: str
    integer: bool
    values: int
    size: int
    largest: float
    image: str
    examples: tuple[DifferingValue, ...]

    def __add__(self, other: "Difference") -> "Difference":
        """The difference over the images of both; the examples are those of the first."""
        return replace(
            self,
            values=self.values + other.values,
            size=self.size + other.size,
            largest=max(self.largest, other.largest),
        )


def difference(step: Step, tensor: str, mine: Array, other: Array, *, image: str) -> Difference | None:
    """The difference of two arrays of one tensor; None if bit-identical. Raises ModelError where the shapes differ."""
    if mine.shape != other.shape:
        raise ModelError(
            f"node {step.name!r}: {tensor!r} has shape {list(mine.shape)} here and {list(other.shape)} there; "
            "compare the same model on the same images"
        )
    unequal = mine != other
    if mine.dtype.kind == "f" and other.dtype.kind == "f":
        unequal &= ~(np.isnan(mine) & np.isnan(other))
    count = int(np.count_nonzero(unequal))
    if not count:
        return None
    places = np.argwhere(unequal)[:SHOWN]
    found = tuple(
        DifferingValue(tuple(map(int, place)), _plain(mine[tuple(place)]), _plain(other[tuple(place)]))
        for place in places
    )
    with np.errstate(invalid="ignore"):
        apart = np.abs(mine[unequal].astype(np.float64) - other[unequal].astype(np.float64))
    return Difference(
        tensor, step.name, step.op_type, step.is_exact(mine), count, mine.size, float(apart.max()), image, found
    )


def _plain(value: Any) -> float:
    number = value.item()
    return float(number) if isinstance(number, (bool, float)) else int(number)
