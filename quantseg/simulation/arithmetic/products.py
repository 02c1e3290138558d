"""Products of integer matrices through floating-point BLAS, exact to the last bit.

A float32 sum of whole numbers is exact in any order of addition as long as no partial sum can reach 2^24. So the inner
axis is cut into stretches whose Σ |products| stays below 2^24; the sums of the stretches are added as integers.
"""

import numpy as np
from numpy.typing import NDArray

from quantseg.quantization.affine import F32

EXACT = 1 << 24
"""float32 holds every whole number up to here."""
_BLOCK = 64


def stretches(weights: F32, largest: int) -> tuple[slice, ...]:
    """Slices of the inner axis within which float32 sums are exact.

    weights: (…, rows, inner), whole numbers. largest: the largest magnitude of the other matrix.
    Raises ValueError where a single product is too large.
    """
    inner = weights.shape[-1]
    sizes = np.abs(weights).reshape(-1, inner)
    if reach(sizes) * largest < EXACT:
        return (slice(0, inner),) if inner else ()
    return _cut(sizes, largest, _BLOCK) or _cut(sizes, largest, 1)


def reach(sizes: F32) -> float:
    """An upper bound of every row's sum. sizes: magnitudes, (rows, inner)."""
    return float(sizes.sum(axis=1).max(initial=0)) * 1.001  # float32 may round a sum that is beyond 2^24 anyway


def _cut(sizes: F32, largest: int, block: int) -> tuple[slice, ...]:
    """The fewest slices that begin at multiples of `block`; none where the sum of one block is too large."""
    inner = sizes.shape[1]
    edges = np.arange(0, inner, block)
    sums = np.add.reduceat(sizes, edges, axis=1).astype(np.float64).cumsum(axis=1)
    start, found = 0, list[slice]()
    while start < len(edges):
        before = sums[:, start - 1 : start] if start else 0.0
        fits = (sums[:, start:] - before).max(axis=0, initial=0.0) * largest < EXACT
        count = int(fits.argmin()) if not fits.all() else len(fits)
        if count == 0:
            if block == 1:
                raise ValueError("a single product exceeds 2^24")
            return ()
        found.append(slice(int(edges[start]), min(int(edges[start]) + count * block, inner)))
        start += count
    return tuple(found)


def product(weights: F32, columns: F32, cuts: tuple[slice, ...]) -> NDArray[np.float32] | NDArray[np.int64]:
    """weights (…, rows, inner) @ columns (…, inner, columns), both whole numbers. cuts: from `stretches`.

    The exact result: in float32 where a single slice covers the inner axis, else in int64.
    """
    if len(cuts) == 1:
        return np.asarray(np.matmul(weights, columns), np.float32)
    first, *others = cuts
    total: NDArray[np.int64] = np.matmul(weights[..., first], columns[..., first, :]).astype(np.int64)
    for cut in others:
        np.add(total, np.matmul(weights[..., cut], columns[..., cut, :]), out=total, casting="unsafe")
    return total
