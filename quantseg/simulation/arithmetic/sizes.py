"""A limit on tensor sizes, checked before memory is allocated."""

import math
from collections.abc import Sequence

from quantseg.errors import ModelError

MOST_BYTES = 1 << 32
"""The largest tensor that is allocated: 4 GiB, forty times what the largest model of our benchmarks needs."""


def checked(shape: Sequence[int], itemsize: int = 4) -> tuple[int, ...]:
    """The shape as Python ints. Raises ModelError where a size is negative or the tensor exceeds MOST_BYTES."""
    sizes = tuple(int(size) for size in shape)
    if any(size < 0 for size in sizes):
        raise ModelError(f"the result would have shape {list(sizes)}; the window is larger than what it reads")
    if math.prod(sizes) * itemsize > MOST_BYTES:
        raise ModelError(f"the result would have shape {list(sizes)}, more than {MOST_BYTES >> 30} GiB")
    return sizes
