"""What hypothesis draws: float32 values as tensors hold them, ranges, integer types and parameters."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quantseg.quantization.affine import Range, params_from_range
from quantseg.quantization.qtypes import QTYPES

LARGEST = float(np.finfo(np.float32).max)
STORED = [qtype for qtype in QTYPES.values() if qtype.bits <= 16]
"""The types of activations and weights; int32 is for biases alone."""

reals = st.floats(-LARGEST, LARGEST, width=32)
"""Any finite float32: denormals, both zeros and both ends among them."""

moderate = st.floats(-(2.0**20), 2.0**20, width=32).map(lambda x: 0.0 if abs(x) < 2.0**-20 else x)
"""Values of a size that sums and squares keep their digits at."""


def tensors(elements=reals, *, min_size=1, max_size=40):
    """One-dimensional float32 arrays."""
    return st.integers(min_size, max_size).flatmap(lambda n: arrays(np.float32, n, elements=elements))


@st.composite
def narrow_tensors(draw):
    """Values that differ in their last digits only, at any distance from zero."""
    start = draw(reals)
    steps = draw(st.lists(st.integers(0, 100), min_size=1, max_size=20))
    values = [start]
    for _ in range(max(steps)):
        values.append(np.nextafter(np.float32(values[-1]), np.float32(0)))
    return np.array([values[step] for step in steps], np.float32)


any_tensors = st.one_of(tensors(), tensors(moderate), narrow_tensors())


@st.composite
def ranges(draw, elements=reals):
    """Any range with float32 ends, zero inside or not."""
    low, high = sorted((draw(elements), draw(elements)))
    return Range(low, high)


@st.composite
def params(draw, elements=moderate):
    """Parameters of a whole tensor, of any type."""
    return params_from_range(draw(ranges(elements)), draw(st.sampled_from(STORED)), symmetric=draw(st.booleans()))
