"""One operator of a program: which arrays it reads and makes, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from quantseg.graph.operators import ROUNDING
from quantseg.quantization.integer_operands import PRODUCTS

_INTEGER = frozenset(PRODUCTS) | {
    "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul",
    "QLinearSigmoid", "QLinearSoftmax",
}  # fmt: skip


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
    def is_float(self) -> bool:
        """Whether it computes in float: what it makes depends on the order in which a kernel adds."""
        return self.op_type in ROUNDING

    @property
    def may_differ(self) -> bool:
        """Whether a kernel may make something else: float arithmetic, interpolation among it.

        A ConvTranspose counts as such, since no runtime has it in integers.
        """
        interpolates = self.op_type == "Resize" and self.attributes.get("mode", "nearest") != "nearest"
        return self.is_float or interpolates or self.op_type == "QLinearConvTranspose"

    def is_exact(self, result: NDArray[Any]) -> bool:
        """Whether every kernel has to make this very result: integers, and numbers that are only moved."""
        return not self.may_differ or (self.op_type == "Resize" and result.dtype.kind in "iu")
