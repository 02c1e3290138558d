"""The precisions in which a node may compute, and which of them a runtime has kernels for.

16-bit activations would be the natural step between int8 and float, but no runtime here has kernels for them. In a QDQ
model with uint16 or int16 activations (opset 21), onnxruntime 1.31's CPU provider executes `Conv` in float32 with a
QuantizeLinear and a DequantizeLinear around it: slower than float and less exact. A test checks this by profile.
"""

from dataclasses import dataclass

from quantseg.quantization.qtypes import INT16, UINT8, UINT16, QType
from quantseg.runtimes import Runtime


@dataclass(frozen=True)
class Precision:
    """activation: the type of the tensors that a node reads and writes; None is float32."""

    name: str
    activation: QType | None


PRECISIONS = (
    Precision("int8", UINT8),
    Precision("uint16", UINT16),
    Precision("int16", INT16),
    Precision("float", None),
)
"""From the fastest to the most exact."""


def candidates(runtime: Runtime) -> tuple[Precision, ...]:
    """The precisions that a search chooses from: those in which the runtime has a kernel for convolutions."""
    return tuple(p for p in PRECISIONS if p.activation is None or p.activation.name in runtime.activation_types)
