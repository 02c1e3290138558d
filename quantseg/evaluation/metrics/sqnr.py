"""Signal to quantisation noise ratio of an output: 10·log10(Σ r² / Σ (r − q)²) in decibels.

r is the float model's output, q the int8 model's. 6 dB correspond to about one bit. For equal outputs the ratio is
infinite.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sqnr:
    """Sums of squares in float64 over any number of tensors. A monoid under +, up to rounding."""

    signal: float = 0.0
    noise: float = 0.0

    @staticmethod
    def from_outputs(reference: NDArray[Any], candidate: NDArray[Any]) -> "Sqnr":
        """The sums of two tensors of the same shape."""
        r = reference.astype(np.float64)
        return Sqnr(float(np.square(r).sum()), float(np.square(r - candidate).sum()))

    def __add__(self, other: "Sqnr") -> "Sqnr":
        return Sqnr(self.signal + other.signal, self.noise + other.noise)

    def decibels(self) -> float:
        """The ratio in dB: +inf without noise, −inf for noise without signal."""
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf
