"""Integer arithmetic, operator by operator, in numpy alone: what a quantised model computes, to the last bit.

An operator takes a Call (arrays and attributes) and gives arrays; which ways it may round is in `rounding.py`. A new
operator is a function and a line in its family's table. Beside ONNX's own names are those of onnxruntime's domain
com.microsoft, and QLinearConvTranspose, which neither has.
"""

from collections.abc import Mapping

from quantseg.simulation.arithmetic import (
    channels_last,
    choosing,
    convolution,
    elementwise,
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
    **storage.OPERATORS,
}
"""Operator type → what computes it."""

__all__ = ["OPERATORS", "Call", "Operator"]
