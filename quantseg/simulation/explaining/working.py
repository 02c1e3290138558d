"""The numbers of a calculation, from input integers to one output integer."""

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.quantization.rounding.requantisation import ROUNDINGS, Ratio, fixed_point

Array = NDArray[Any]


@dataclass(frozen=True)
class Term:
    """One summand. where: a description of its origin. left, right: the factors, integers minus their zero-points.

    stored: the left factor as the tensor stores it.
    """

    where: str
    stored: int
    left: int
    right: int

    @property
    def value(self) -> int:
        """left · right."""
        return self.left * self.right


@dataclass(frozen=True)
class Working:
    """The calculation of one output value.

    formula: as text. terms: summands of `total`. accumulator: total + bias. multiplier: S_1 S_2 / S_y in float32.
    fixed, shift: the multiplier as fixed · 2^−31 · 2^−shift; None where it has no such form. scaled: accumulator ·
    multiplier; rounded: scaled, rounded. result: rounded + zero_point, clamped to qmin…qmax. real: S_y (result −
    zero_point). exact: the operator's result in real numbers, neither rounded nor clamped. scales: (name, scale).
    """

    formula: str
    terms: tuple[Term, ...]
    total: float
    bias: int | None
    accumulator: float
    multiplier: float
    fixed: int | None
    shift: int | None
    scaled: float
    rounded: int
    zero_point: int
    qmin: int
    qmax: int
    result: int
    scales: tuple[tuple[str, float], ...]
    real: float
    exact: float

    @property
    def steps_off(self) -> float:
        """The distance of the result from the exact value, in units of the output scale."""
        return (self.real - self.exact) / dict(self.scales)["S_y"]

    def to_json(self) -> dict[str, Any]:
        """Values for JSON."""
        return asdict(self) | {"terms": [asdict(t) | {"value": t.value} for t in self.terms]}


@dataclass(frozen=True, eq=False)
class Given:
    """The known quantities of a calculation. scales: by name, S_y the output's. zero_point: the output's.

    Raises ModelError for a scale that is no positive number, which leaves nothing to explain.
    """

    scales: dict[str, float]
    zero_point: Array
    result: int

    def __post_init__(self) -> None:
        for name, scale in self.scales.items():
            if not (math.isfinite(scale) and scale > 0):
                raise ModelError(f"its scale {name} is {scale}; quantise the model again")


def work(formula: str, terms: tuple[Term, ...], bias: int | None, ratio: Ratio, given: Given, rounding: str) -> Working:
    """The calculation of a requantised sum of products. ratio: this value's multiplier, its parts of shape ()."""
    with np.errstate(all="ignore"):
        multiplier = float(ratio.double)
    if not math.isfinite(multiplier):
        raise ModelError(f"its multiplier is {multiplier}; quantise the model again")
    total = sum(term.value for term in terms)
    accumulator = total + (bias or 0)
    rounded = int(ROUNDINGS[rounding](np.asarray(accumulator), ratio))
    fixed = shift = None
    if 0 < multiplier < 1 << 31:
        fixed, shift = (int(part) for part in fixed_point(ratio.double))
    info, zero = np.iinfo(given.zero_point.dtype), int(given.zero_point)
    exact = Fraction(accumulator) * ratio.exact_at((), ()) * Fraction(given.scales["S_y"])
    return Working(
        formula=formula,
        terms=terms,
        total=total,
        bias=bias,
        accumulator=accumulator,
        multiplier=float(ratio.single),
        fixed=fixed,
        shift=shift,
        scaled=float(np.float32(accumulator) * ratio.single),
        rounded=rounded,
        zero_point=zero,
        qmin=int(info.min),
        qmax=int(info.max),
        result=given.result,
        scales=tuple(given.scales.items()),
        real=given.scales["S_y"] * (given.result - zero),
        exact=float(exact),
    )
