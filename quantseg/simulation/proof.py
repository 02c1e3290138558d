"""Overflow proof: the range of every int32 accumulator, and the 16-bit pair sums that saturate on some processors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import DataError
from quantseg.files import read_json
from quantseg.quantization.integer_operands import CONVOLUTIONS, PRODUCTS
from quantseg.simulation.arithmetic.accumulators import LARGEST, Bounds, accumulated, bounds
from quantseg.simulation.arithmetic.saturation import Saturation, saturation
from quantseg.simulation.program import Program
from quantseg.simulation.running import TakenStep

Whole = NDArray[np.int64]
_CONVOLUTIONS = CONVOLUTIONS | {"QLinearConvTranspose"}
"""Operators whose second factor counts as a weight even if other nodes compute it."""


@dataclass(frozen=True)
class Sums:
    """The accumulators of one convolution or matrix product, per output channel.

    least, largest: observed on the images. bounds: possible for any input. saturation: None where no kernel adds its
    products in 16-bit pairs.
    """

    node: str
    op_type: str
    least: Whole
    largest: Whole
    bounds: Bounds
    saturation: Saturation | None

    @property
    def seen(self) -> int:
        """The largest observed magnitude, over all channels."""
        return int(max(self.largest.max(initial=0), -self.least.min(initial=0)))

    @property
    def possible(self) -> int:
        """The largest possible magnitude, given weights and zero-points, over all channels."""
        return int(max(self.bounds.largest.max(initial=0), -self.bounds.least.min(initial=0)))

    @property
    def bits(self) -> int:
        """Bits of a signed integer that holds every possible accumulator."""
        return int(self.bounds.bits.max(initial=1))

    @property
    def overflowing(self) -> tuple[int, ...]:
        """Channels in which a kernel's intermediate sums may overflow int32."""
        return tuple(map(int, np.nonzero(self.bounds.held > LARGEST)[0]))

    @property
    def saturating(self) -> tuple[int, ...]:
        """Channels whose pair sums saturated on these images."""
        return () if self.saturation is None else tuple(map(int, np.nonzero(self.saturation.pairs)[0]))

    def __add__(self, other: "Sums") -> "Sums":
        """The same node over the images of both."""
        both = self.saturation
        if both is not None and other.saturation is not None:
            both = both + other.saturation
        return replace(
            self,
            least=np.minimum(self.least, other.least),
            largest=np.maximum(self.largest, other.largest),
            bounds=self.bounds | other.bounds,
            saturation=both,
        )

    def to_json(self) -> dict[str, Any]:
        """Values for JSON, one entry for each channel."""
        pairs = self.saturation
        return {
            "node": self.node,
            "op_type": self.op_type,
            "seen": {"least": self.least.tolist(), "largest": self.largest.tolist()},
            "possible": {"least": self.bounds.least.tolist(), "largest": self.bounds.largest.tolist()},
            "bits": self.bounds.bits.tolist(),
            "overflowing_channels": list(self.overflowing),
            "saturated_pairs": None if pairs is None else pairs.pairs.tolist(),
            "saturated_results": None if pairs is None else pairs.results.tolist(),
            "pair_sums": None if pairs is None else pairs.sums,
            "saturating_channels": list(self.saturating),
            "channels_that_could_saturate": [] if pairs is None else np.nonzero(pairs.possible)[0].tolist(),
        }


def sums_of(program: Program, taken: TakenStep, known: Sums | None = None) -> Sums | None:
    """The accumulators of one step on one image; None if it is no convolution or matrix product.

    known: the step's Sums on an earlier image, whose bounds are reused.
    """
    step, call = taken.step, taken.call
    if step.op_type not in PRODUCTS:
        return None
    index = PRODUCTS[step.op_type].weight
    constant = step.inputs[index] in program.constants or step.op_type in _CONVOLUTIONS
    limits = known.bounds if known is not None and constant else bounds(step.op_type, call, constant=constant)
    least = np.full(limits.largest.shape, np.iinfo(np.int64).max)
    largest = np.full(limits.largest.shape, np.iinfo(np.int64).min)
    for sums in accumulated(step.op_type, call):
        part = sums if constant else sums.reshape(1, -1)
        least = np.minimum(least, part.min(axis=1).astype(np.int64))
        largest = np.maximum(largest, part.max(axis=1).astype(np.int64))
    pairs = saturation(step.op_type, call) if constant else None
    return Sums(step.name, step.op_type, least, largest, limits, pairs)


def added(known: Mapping[str, Sums], new: Sums | None) -> Mapping[str, Sums]:
    """Adds the Sums of one node on one more image; None changes nothing."""
    if new is None:
        return known
    return {**known, new.node: known[new.node] + new if new.node in known else new}


def read_channels(path: Path) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """(node, channels) whose pair sums saturated, from the JSON of a simulation, sorted. Raises DataError."""
    try:
        products = read_json(path)["products"]
        found = {_text(entry["node"]): tuple(map(_index, entry["saturating_channels"])) for entry in products}
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}); give a file of simulate json=…"
        ) from error
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: names no channels; make it with quantseg simulate MODEL data=DIR json=FILE"
        ) from error
    return tuple(sorted((node, channels) for node, channels in found.items() if channels))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _index(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value
