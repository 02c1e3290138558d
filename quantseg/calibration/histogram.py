"""A mergeable histogram: bins of width 2^e at multiples of 2^e, so that merging is exact and independent of order.

Bin k covers [k·2^e, (k+1)·2^e). The exponent is a function of the extrema alone: the smallest e with which the bins
between them fit the bin budget. Wider extrema can only raise e, and floor(floor(x/2^e)/2) = floor(x/2^(e+1)); hence the
histogram of a union is the sum of the histograms, bit for bit, however the data is split and ordered.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import CalibrationError
from quantseg.quantization.affine import F32, F64, Range

BIN_BUDGET = 4096
"""Most bins of a histogram; that of a non-constant tensor then has more than half as many."""

_FINEST = -161
"""The smallest exponent. With it, even [0, 2^-149], whose end is the smallest float32, spans half the bin budget."""

_INDEX_BITS = 40
"""Bin numbers stay within ±2^40. Two neighbouring float32 values need 2^36; only a constant tensor would need more."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of values in bins of width 2^exponent, with the exact extrema.

    counts: int64, shape (bins,); counts[i] is that of bin first_bin + i. Only a sample of the values may be counted;
    minimum and maximum are those of all values, with −0.0 as 0.0. The empty histogram is the identity of `+`.
    """

    exponent: int
    first_bin: int
    counts: NDArray[np.int64]
    minimum: float
    maximum: float

    @staticmethod
    def empty() -> "Histogram":
        """The histogram of no values."""
        return Histogram(_FINEST, 0, np.zeros(0, np.int64), math.inf, -math.inf)

    @staticmethod
    def of(values: F32, minimum: float | None = None, maximum: float | None = None) -> "Histogram":
        """Counts `values` (any shape). minimum, maximum: of all values, where `values` is a sample of them.

        Raises CalibrationError if an extremum is NaN or infinite.
        """
        if values.size == 0:
            return Histogram.empty()
        # Adding 0.0 makes −0.0 positive; otherwise the sign of a zero extremum would depend on the order.
        low = (float(values.min()) if minimum is None else minimum) + 0.0
        high = (float(values.max()) if maximum is None else maximum) + 0.0
        if not (math.isfinite(low) and math.isfinite(high)):
            raise CalibrationError(f"values from {low} to {high} cannot be counted; only finite ones can")
        exponent = exponent_of(low, high)
        # In float64 the product with a power of two is exact for every float32, denormals included.
        bins = np.floor(values.ravel().astype(np.float64) * 2.0**-exponent).astype(np.int64)
        first = int(bins.min())
        return Histogram(exponent, first, np.bincount(bins - first).astype(np.int64), low, high)

    def __add__(self, other: "Histogram") -> "Histogram":
        """The histogram of both sets of values."""
        if not other.counts.size:
            return self
        if not self.counts.size:
            return other
        low, high = min(self.minimum, other.minimum), max(self.maximum, other.maximum)
        exponent = max(exponent_of(low, high), self.exponent, other.exponent)
        a, b = _coarsen(self, exponent), _coarsen(other, exponent)
        first = min(a.first_bin, b.first_bin)
        counts = np.zeros(max(h.first_bin + h.counts.size for h in (a, b)) - first, np.int64)
        for h in (a, b):
            counts[h.first_bin - first : h.first_bin - first + h.counts.size] += h.counts
        return Histogram(exponent, first, counts, low, high)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histogram)
            and (self.exponent, self.first_bin) == (other.exponent, other.first_bin)
            and (self.minimum, self.maximum) == (other.minimum, other.maximum)
            and np.array_equal(self.counts, other.counts)
        )

    def __hash__(self) -> int:
        return hash((self.exponent, self.first_bin, self.counts.tobytes(), self.minimum, self.maximum))

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    @property
    def edges(self) -> F64:
        """Bin borders in real units, shape (bins + 1,)."""
        bins = np.arange(self.first_bin, self.first_bin + self.counts.size + 1, dtype=np.float64)
        return bins * 2.0**self.exponent

    @property
    def centres(self) -> F64:
        """Bin centres in real units, shape (bins,)."""
        return (self.edges[:-1] + self.edges[1:]) / 2

    def clipped(self, low: float, high: float) -> Range:
        """[low, high] intersected with the extrema; the nearest extremum where they are disjoint. −0.0 becomes 0.0."""
        return Range(
            min(max(low, self.minimum), self.maximum) + 0.0,
            max(min(high, self.maximum), self.minimum) + 0.0,
        )

    def reaching_zero(self) -> tuple["Histogram", int]:
        """The same histogram with bins coarse enough to span zero within the budget, and the index of the edge at zero.

        The index runs from 0 (nothing below zero) to the number of bins (nothing above).
        """
        exponent = exponent_of(min(self.minimum, 0.0), max(self.maximum, 0.0))
        coarse = _coarsen(self, max(exponent, self.exponent))
        before = max(coarse.first_bin, 0)
        after = max(-(coarse.first_bin + coarse.counts.size), 0)
        counts = np.pad(coarse.counts, (before, after))
        first = coarse.first_bin - before
        return Histogram(coarse.exponent, first, counts, self.minimum, self.maximum), -first

    def magnitudes(self) -> "Histogram":
        """The histogram of |x|: bin −1−k is added to bin k. Bins keep their width."""
        bins = np.arange(self.first_bin, self.first_bin + self.counts.size)
        folded = np.where(bins < 0, -1 - bins, bins)
        first = int(folded.min())
        counts = np.bincount(folded - first, weights=self.counts).astype(np.int64)
        low = 0.0 if self.minimum < 0 < self.maximum else min(abs(self.minimum), abs(self.maximum))
        return Histogram(self.exponent, first, counts, low, max(abs(self.minimum), abs(self.maximum)))


def bin_of(x: float, exponent: int) -> int:
    """The number of the bin of width 2^exponent that holds x."""
    return math.floor(math.ldexp(x, -exponent))


def exponent_of(low: float, high: float) -> int:
    """The smallest exponent at which [low, high] spans at most BIN_BUDGET bins."""
    largest = max(abs(low), abs(high))
    exponent = max(_FINEST, math.frexp(largest)[1] - _INDEX_BITS) if largest else _FINEST
    width = high / BIN_BUDGET - low / BIN_BUDGET
    if width > 0:
        exponent = max(exponent, math.frexp(width)[1] - 2)  # a lower bound, which the loop raises
    while bin_of(high, exponent) - bin_of(low, exponent) >= BIN_BUDGET:
        exponent += 1
    return exponent


def _coarsen(h: Histogram, exponent: int) -> Histogram:
    """The same counts in bins 2^(exponent − h.exponent) times as wide."""
    shift = exponent - h.exponent
    if shift == 0:
        return h
    bins = np.arange(h.first_bin, h.first_bin + h.counts.size) >> min(shift, 62)
    starts = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1))
    return Histogram(exponent, int(bins[0]), np.add.reduceat(h.counts, starts), h.minimum, h.maximum)
