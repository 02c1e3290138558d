"""Products of integer matrices through floating-point BLAS, exact to the last bit.

A float32 sum of whole numbers is exact, in whatever order it is added, as long as no partial sum can reach 2^24. So the
inner axis is cut into stretches whose sums of absolute products stay below; the stretches are added as integers.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from quantseg.affine import F32

EXACT = 1 << 24
"""float32 holds every whole number up to here."""


def stretches(weights: F32, largest: int) -> Iterator[slice]:
    """Cuts of the inner axis within which float32 sums are exact.

    weights: (…, rows, inner), whole numbers. largest: no factor on the other side is larger in magnitude.
    Raises ValueError where a single product is too large.
    """
    inner = weights.shape[-1]
    sums = np.abs(weights).astype(np.float64).reshape(-1, inner).cumsum(axis=1)
    start = 0
    while start < inner:
        before = sums[:, start - 1 : start] if start else 0.0
        fits = ((sums[:, start:] - before).max(axis=0, initial=0.0) * largest) < EXACT
        count = int(fits.argmin()) if not fits.all() else len(fits)
        if count == 0:
            raise ValueError("a single product exceeds 2^24")
        yield slice(start, start + count)
        start += count


def product(weights: F32, columns: F32, cuts: tuple[slice, ...]) -> NDArray[np.float32] | NDArray[np.int64]:
    """weights (…, rows, inner) @ columns (…, inner, many), both whole numbers.

    float32 where one stretch holds all, else int64: whole numbers either way.
    """
    if len(cuts) == 1:
        return np.asarray(np.matmul(weights, columns), np.float32)
    total = np.zeros((), np.int64)
    for cut in cuts:
        total = total + np.matmul(weights[..., cut], columns[..., cut, :]).astype(np.int64)
    return total
