"""What a runtime executed: its nodes by the kind of work they do, and the totals.

A runtime rewrites the graph that it is given, so what a model file says is int8 may run in float and the
other way round. The nodes here are those that ran, by the element types that they ran on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from quantseg.graph.operators import MOVEMENTS
from quantseg.runtimes.products import CONVOLUTIONS, Product

Kind = Literal["int8", "float", "boundary", "movement", "other"]
"""int8: work on 8-bit tensors, moving them included. float: arithmetic on float tensors. boundary: float to
8 bit and back. movement: float tensors copied or laid out anew. other: shapes, indices, casts."""

KINDS: tuple[Kind, ...] = get_args(Kind)

_QUANTIZE = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})
_DEQUANTIZE = frozenset({"DequantizeLinear"})
_BOOKKEEPING = frozenset({"Cast", "CastLike", "ConstantOfShape", "EyeLike", "Shape", "Size"})
_INTEGER_INSIDE = frozenset({"DynamicQuantizeLSTM", "DynamicQuantizeMatMul"})
"""Float in, float out, integer arithmetic between."""
_MOVEMENT = MOVEMENTS | {
    "CenterCropPad", "Compress", "Concat", "GatherElements", "GatherND", "Identity", "Pad", "ReorderInput",
    "ReorderOutput", "ReverseSequence", "ScatterElements", "ScatterND",
}  # fmt: skip
_EIGHT_BIT = frozenset({"int8", "uint8"})
_FLOAT = frozenset({"bfloat16", "double", "float", "float16"})


@dataclass(frozen=True)
class ExecutedNode:
    """One node as it ran. `seconds`: median over the runs; `share`: of the sum over all nodes, 0 to 1.

    `product`: of a convolution or matrix product, where the runtime tells its shapes.
    """

    name: str
    op_type: str
    domain: str
    kind: Kind
    seconds: float
    share: float
    product: Product | None = None

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution, transposed or not, in float or in integers."""
        return self.op_type in CONVOLUTIONS

    @property
    def macs_per_second(self) -> float | None:
        """Multiply-accumulates per second; None where their number or the time is not known."""
        return self.product.macs / self.seconds if self.product is not None and self.seconds else None


@dataclass(frozen=True)
class KindTotal:
    """How many nodes are of a kind and which share of the time they take, 0 to 1."""

    nodes: int
    share: float


@dataclass(frozen=True)
class ExecutionSummary:
    """Totals over the executed nodes. `kinds` has every kind, in the order of `KINDS`.

    `convolution_macs`, `convolution_macs_per_second`: of those convolutions whose shapes are known; the speed is
    None where none is.
    """

    seconds: float
    kinds: Mapping[Kind, KindTotal]
    float_conv_transposes: int
    quantize_nodes: int
    dequantize_nodes: int
    transpose_nodes: int
    convolution_share: float
    convolution_macs: int = 0
    convolution_macs_per_second: float | None = None


def kind_of(op_type: str, inputs: Sequence[str], outputs: Sequence[str]) -> Kind:
    """The kind of work of a node, from its operator and its tensors' element types ("float", "uint8", …).

    The first input and the outputs decide: the others may be scales, sizes or weights of another type.
    """
    data = {*inputs[:1], *outputs}
    if op_type in _QUANTIZE | _DEQUANTIZE:
        return "boundary"
    if op_type in _BOOKKEEPING:
        return "other"
    if op_type in _INTEGER_INSIDE or data & _EIGHT_BIT:
        return "int8"
    if not data & _FLOAT:
        return "other"
    return "movement" if op_type in _MOVEMENT else "float"


def summary(nodes: Iterable[ExecutedNode]) -> ExecutionSummary:
    """Adds the nodes up."""
    nodes = tuple(nodes)

    def total(kind: Kind) -> KindTotal:
        members = [node for node in nodes if node.kind == kind]
        return KindTotal(len(members), sum(node.share for node in members))

    convolutions = [node for node in nodes if node.is_convolution]
    counted = [(node.product.macs, node.seconds) for node in convolutions if node.product is not None]
    macs, spent = sum(macs for macs, _ in counted), sum(seconds for _, seconds in counted)
    return ExecutionSummary(
        seconds=sum(node.seconds for node in nodes),
        kinds={kind: total(kind) for kind in KINDS},
        float_conv_transposes=sum(node.op_type == "ConvTranspose" and node.kind == "float" for node in nodes),
        quantize_nodes=sum(node.op_type in _QUANTIZE for node in nodes),
        dequantize_nodes=sum(node.op_type in _DEQUANTIZE for node in nodes),
        transpose_nodes=sum(node.op_type == "Transpose" for node in nodes),
        convolution_share=sum(node.share for node in convolutions),
        convolution_macs=macs,
        convolution_macs_per_second=macs / spent if spent else None,
    )
