"""One operator of a program: which arrays it reads and makes, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PRODUCTS = frozenset({"ConvInteger", "MatMulInteger", "QGemm", "QLinearConv", "QLinearConvTranspose", "QLinearMatMul"})
"""Operators with int32 accumulators."""
_INTEGER = PRODUCTS | {
    "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul",
    "QLinearSigmoid", "QLinearSoftmax",
}  # fmt: skip
_FLOAT = frozenset({
    "Add", "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Div", "Exp", "Gemm", "GlobalAveragePool",
    "HardSigmoid", "HardSwish", "LeakyRelu", "MatMul", "Mul", "PRelu", "ReduceMean", "ReduceSum", "Sigmoid", "Softmax",
    "Sqrt", "Sub", "Tanh",
})  # fmt: skip
"""Operators that make new numbers; all others move or compare them, exactly in any type."""


@dataclass(frozen=True)
class Step:
    """A node, or a QDQ pattern as the operator that it stands for.

    op_type: a key of the simulator's OPERATORS. inputs: names, "" where left out. stands_for: the node's own type.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    stands_for: str

    @property
    def is_integer(self) -> bool:
        """Whether it computes with integers and scales."""
        return self.op_type in _INTEGER

    @property
    def has_kernel(self) -> bool:
        """Whether a runtime computes it as the simulator does: not in float, nor where there is no integer kernel."""
        return not self.is_float and self.op_type != "QLinearConvTranspose"

    @property
    def is_float(self) -> bool:
        """Whether it computes in float: what it makes depends on the order in which a kernel adds."""
        return self.op_type in _FLOAT
