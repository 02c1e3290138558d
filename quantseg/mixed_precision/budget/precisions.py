"""What a node may compute in, and which runtime executes a convolution in it: a fact is a row.

16-bit activations would be the natural step between int8 and float. No runtime here has it: of a QDQ model with uint16
or int16 activations (opset 21) onnxruntime 1.31's CPU provider executes `Conv` on float32, with a QuantizeLinear and a
DequantizeLinear around it, so it is slower than float and less exact. Its execution profile tells; a test asks it anew.
"""

from dataclasses import dataclass

from quantseg.quantization.qtypes import INT16, UINT8, UINT16, QType


@dataclass(frozen=True)
class Precision:
    """activation: the type of the tensors that a node reads and writes; None is float32.

    runtimes: those that execute a convolution in it as such.
    """

    name: str
    activation: QType | None
    runtimes: frozenset[str]


PRECISIONS = (
    Precision("int8", UINT8, frozenset({"onnxruntime", "openvino"})),
    Precision("uint16", UINT16, frozenset()),
    Precision("int16", INT16, frozenset()),
    Precision("float", None, frozenset({"onnxruntime", "openvino"})),
)
"""From the fastest to the most exact."""


def candidates(runtime: str) -> tuple[Precision, ...]:
    """The precisions that a search chooses from for a runtime."""
    return tuple(precision for precision in PRECISIONS if runtime in precision.runtimes)
