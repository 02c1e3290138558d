"""What a runtime executed: its nodes, classified by the kind of computation, and totals.

A runtime optimises the graph, so a node that is int8 in the model file may run in float, and the other way round. The
nodes here are the executed ones, classified by the element types that they ran on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from quantseg.graph.operators import MOVEMENTS
from quantseg.runtimes.products import CONVOLUTIONS, Product

Kind = Literal["int8", "float", "boundary", "movement", "other"]
"""int8: any operation on 8-bit tensors, copies included. float: arithmetic on float tensors. boundary: quantize and
dequantize. movement: float tensors copied or transposed. other: shapes, indices, casts."""

KINDS: tuple[Kind, ...] = get_args(Kind)

_QUANTIZE = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})
_DEQUANTIZE = frozenset({"DequantizeLinear"})
_BOOKKEEPING = frozenset({"Cast", "CastLike", "ConstantOfShape", "EyeLike", "Shape", "Size"})
_INTEGER_INSIDE = frozenset({"DynamicQuantizeLSTM", "DynamicQuantizeMatMul"})
"""Operators with float inputs and outputs that compute in integers."""
_MOVEMENT = MOVEMENTS | {
    "CenterCropPad", "Compress", "Concat", "GatherElements", "GatherND", "Identity", "Pad", "ReorderInput",
    "ReorderOutput", "ReverseSequence", "ScatterElements", "ScatterND",
}  # fmt: skip
_EIGHT_BIT = frozenset({"int8", "uint8"})
_FLOAT = frozenset({"bfloat16", "double", "float", "float16"})


@dataclass(frozen=True)
class ExecutedNode:
    """One executed node. `seconds`: median over the runs; `share`: of the total time of all nodes, 0 to 1.

    `product`: the size of a convolution or matrix product, if the runtime reports its shapes.
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
        """Whether it is a convolution or transposed convolution, in float or in integers."""
        return self.op_type in CONVOLUTIONS

    @property
    def macs_per_second(self) -> float | None:
        """MACs per second; None where the number of MACs or the time is unknown."""
        return self.product.macs / self.seconds if self.product is not None and self.seconds else None


@dataclass(frozen=True)
class KindTotal:
    """The number of nodes of a kind, and their share of the time, 0 to 1."""

    nodes: int
    share: float


@dataclass(frozen=True)
class ExecutionSummary:
    """Totals over the executed nodes. `kinds` has every kind, in the order of `KINDS`.

    `convolution_macs`, `convolution_macs_per_second`: over the convolutions whose shapes are known; the latter is None
    if there are none.
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
    """The kind of a node, from its operator and the element types of its tensors ("float", "uint8", …).

    The first input and the outputs decide: other inputs may be scales, sizes or weights of another type.
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
    """The totals over these nodes."""
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
