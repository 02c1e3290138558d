"""LiteRT's reference kernels in numpy: what a .tflite file computes, to the last bit. Images are (N, H, W, C).

A step's attributes hold what the file says of its operator: "options", "grids" of the inputs, and "given", "shape" and
"dtype", the output's grid, shape and type. Float operators are computed nearly as kernels do: their last bits differ.
"""

from collections.abc import Mapping

from quantseg.simulation.arithmetic.call import Operator
from quantseg.simulation.arithmetic.litert import elementwise, movement, pooling, products, transcendental

PREFIX = "litert."

KERNELS: Mapping[str, Operator] = {
    **products.OPERATORS,
    **elementwise.OPERATORS,
    **pooling.OPERATORS,
    **movement.OPERATORS,
    **transcendental.OPERATORS,
}
"""Operator of LiteRT → the function that computes it."""
MOVING = frozenset(movement.OPERATORS) | {
    "DEQUANTIZE", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "MAXIMUM", "MAX_POOL_2D", "MINIMUM", "REDUCE_MAX",
    "REDUCE_MIN", "RESIZE_NEAREST_NEIGHBOR", "SELECT_V2",
}  # fmt: skip
"""Operators that round nothing, or, as DEQUANTIZE, in one way only."""

OPERATORS: Mapping[str, Operator] = {f"{PREFIX}{kind}": kernel for kind, kernel in KERNELS.items()}
"""The same under names that differ from ONNX's."""
