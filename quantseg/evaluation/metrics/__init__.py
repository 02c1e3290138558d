"""Metrics of two masks. Each is computed from counts (a tally) that are summed over images.

A mask is a class map, integers (height, width), or a stack of channels, booleans (classes, height, width), for models
whose classes may overlap. A metric turns two masks into a tally. Tallies add, in any order, to the tally of the whole
set (`sum` of tallies = tally of the concatenation), so a set is scored in one streaming pass. A new metric is a file
here and a line in METRICS; evaluation, JSON and report pick it up.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from quantseg.evaluation.metrics.boundary import boundary
from quantseg.evaluation.metrics.region import region

T = TypeVar("T", bound="Tally")


class Tally(Protocol):
    """The counts of a metric: an immutable value with an associative, commutative `+`."""

    def __add__(self: T, other: T, /) -> T: ...

    def summary(self) -> Mapping[str, float | None]:
        """Figures over all classes, by name; None where nothing was counted."""

    def per_class(self) -> Mapping[str, tuple[float | None, ...]]:
        """Figures of each class, by name; None for a class that neither mask holds."""


Metric = Callable[[NDArray[Any], NDArray[Any], int, int | None], Tally]
"""(truth, prediction, number of classes, ignore index) → tally. Both masks have the same shape; pixels whose truth is
the ignore index do not count. Raises DataError for differing shapes or class ids out of range."""

METRICS: Mapping[str, Metric] = {
    "region": region,
    "boundary": boundary,
}
