"""One operator of a program, with the names of its input and output tensors."""

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
    """A node, or a QDQ pattern read as one integer operator.

    op_type: a key of the simulator's OPERATORS. Of a .tflite file's operator, attributes tell whether it computes in
    integers or in float. inputs: tensor names, "" for an omitted input. stands_for: the ONNX operator of the node
    itself, such as Conv for QLinearConv.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    stands_for: str

    @property
    def is_integer(self) -> bool:
        """Whether it is an integer operator with scales."""
        return self.op_type in _INTEGER or bool(self.attributes.get("is_integer"))

    @property
    def is_float(self) -> bool:
        """Whether it computes in float, so that its result depends on a kernel's order of additions."""
        return self.op_type in ROUNDING or bool(self.attributes.get("is_float"))

    @property
    def may_differ(self) -> bool:
        """Whether a kernel's result may differ: float arithmetic, interpolation included.

        A ConvTranspose counts as float, since no runtime has it in integers.
        """
        interpolates = self.op_type == "Resize" and self.attributes.get("mode", "nearest") != "nearest"
        return self.is_float or interpolates or self.op_type == "QLinearConvTranspose"

    def is_exact(self, result: NDArray[Any]) -> bool:
        """Whether every kernel must give this very result: integer results, and values that are only moved."""
        return not self.may_differ or (self.op_type == "Resize" and result.dtype.kind in "iu")
