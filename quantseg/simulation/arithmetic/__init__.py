"""Integer arithmetic, operator by operator, in numpy alone: what a quantised model computes, to the last bit.

An operator takes a Call (arrays and attributes) and returns arrays; the rounding modes are in
quantseg.quantization.rounding. A new operator is a function and a line in its family's table. Operators have their
ONNX names, or those of onnxruntime's domain com.microsoft; QLinearConvTranspose is ours, since neither defines it.
"""

from collections.abc import Mapping

from quantseg.simulation.arithmetic import (
    channels_last,
    choosing,
    convolution,
    detection,
    elementwise,
    litert,
    lookup,
    matrix,
    movement,
    normalisation,
    pooling,
    resize,
    softmax,
    storage,
    transposed,
)
from quantseg.simulation.arithmetic.call import Call, Operator

OPERATORS: Mapping[str, Operator] = {
    **convolution.OPERATORS,
    **transposed.OPERATORS,
    **matrix.OPERATORS,
    **elementwise.OPERATORS,
    **lookup.OPERATORS,
    **softmax.OPERATORS,
    **normalisation.OPERATORS,
    **pooling.OPERATORS,
    **channels_last.OPERATORS,
    **resize.OPERATORS,
    **movement.OPERATORS,
    **choosing.OPERATORS,
    **detection.OPERATORS,
    **storage.OPERATORS,
    **litert.OPERATORS,
}
"""Operator type → the function that computes it."""

__all__ = ["OPERATORS", "Call", "Operator"]
