"""What decides the time of a part: its kind of kernel, its work, and how many products each output value takes."""

import math
from dataclasses import dataclass

import onnx_ir as ir

from quantseg.graph.operators import PRODUCTS
from quantseg.mixed_precision.latency_model.units import Unit, sizes


@dataclass(frozen=True)
class Kernel:
    """kind: the operator with its precision and form. work: MACs of a product, else elements of its largest tensor.

    depth: MACs for each value of a product's output; 1 elsewhere.
    """

    kind: str
    work: int
    depth: int


def kernel_of(unit: Unit, how: str) -> Kernel:
    """The kernel of a unit. how: "float", or the format and variant of its integer form."""
    node = unit.nodes[0]
    values = [value for value in (*node.inputs, *node.outputs) if value is not None]
    elements = max((math.prod(sizes(value)) for value in values), default=0)
    weight = node.inputs[1] if node.op_type in PRODUCTS and len(node.inputs) > 1 else None
    if weight is None:
        return Kernel(f"{node.op_type} {how}", elements, 1)
    depth, name = _depth(node, sizes(weight))
    return Kernel(f"{name} {how}", math.prod(sizes(node.outputs[0])) * depth, depth)


def conversion(what: str, value: ir.Value) -> Kernel:
    """The kernel that quantises or dequantises a tensor. what: which of the two."""
    return Kernel(what, math.prod(sizes(value)), 1)


def _depth(node: ir.Node, weight: tuple[int, ...]) -> tuple[int, str]:
    """The MACs for each value of the output, and the name of the kind of product."""
    if node.op_type == "Conv":
        groups, taps = node.attributes.get_int("group", 1), math.prod(weight[2:])
        kind = "depthwise" if groups > 1 and weight[1] == 1 else "grouped" if groups > 1 else "1x1" if taps == 1 else ""
        return math.prod(weight[1:]), f"Conv {kind}".strip()
    if node.op_type == "ConvTranspose":
        strides = math.prod(int(step) for step in node.attributes.get_ints("strides", ()))
        return max(1, weight[0] * math.prod(weight[2:]) // strides), node.op_type
    inner = sizes(node.inputs[0])[-1] if node.inputs[0] is not None else 1  # Gemm, MatMul
    return inner, node.op_type
