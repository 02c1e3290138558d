"""The range of each tensor, with the model, integer type and symmetry that it was chosen for, which a plan checks."""

from collections.abc import Mapping
from dataclasses import dataclass

from quantseg.errors import CalibrationError
from quantseg.quantization.affine import Range
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import QType


@dataclass(frozen=True)
class RangeTable:
    """The range chosen for each tensor, and how.

    ranges: tensor → range, in real units. model: SHA-256 of the float model. qtype, symmetric: the activation integers
    that the ranges are for. calibrator, percent: how they were chosen. images: how many were observed. unbounded: the
    observed tensors that no grid fits, as they hold an infinity or huge numbers that mask.
    """

    ranges: Mapping[str, Range]
    model: str
    qtype: QType
    symmetric: bool
    calibrator: str
    percent: float | None = None
    images: int = 0
    unbounded: frozenset[str] = frozenset()

    def fits(self, settings: QuantSettings) -> bool:
        """Whether the ranges are for the activation type and symmetry of these settings."""
        return (self.qtype, self.symmetric) == (settings.activation, settings.symmetric)

    def require(self, model: str, settings: QuantSettings) -> None:
        """Raises CalibrationError where the ranges are for another model (SHA-256), activation type or symmetry."""
        if self.model != model:
            raise CalibrationError("the ranges were chosen for another model; calibrate this one")
        if not self.fits(settings):
            ours, theirs = _grid(settings.activation, settings.symmetric), _grid(self.qtype, self.symmetric)
            raise CalibrationError(f"the ranges were chosen for {theirs} activations, not for {ours}; choose them anew")


def _grid(qtype: QType, symmetric: bool) -> str:
    return f"{'symmetric ' if symmetric else ''}{qtype.name}"
