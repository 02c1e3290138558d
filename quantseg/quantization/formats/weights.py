"""Weights of products that stay float, stored as int8: a quarter of the file, at the speed of float.

    w ≈ S·q,    S = max|w|/127 for each output channel, q in −127 … 127
A DequantizeLinear stands in front of the product; runtimes run it each time, in about 1 ns a weight.
"""

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant
from quantseg.graph.operators import PRODUCTS
from quantseg.quantization.affine import F32, params_of_weights, quantize
from quantseg.quantization.formats.writer import GraphWriter
from quantseg.quantization.qtypes import INT8

LEAST = 256
"""Fewest values of a weight that is stored so: its scales and the node are bytes, too."""


def store_in_int8(model: ir.Model) -> None:
    """Stores every constant float weight of LEAST values or more of a product in the main graph as int8."""
    writer, stored = GraphWriter(model), dict[ir.Value, ir.Value]()
    for node in list(model.graph):
        weight = node.inputs[1] if node.op_type in PRODUCTS and node.domain == "" and len(node.inputs) > 1 else None
        numbers = constant(weight) if weight is not None and weight.is_initializer() else None
        if weight is None or numbers is None or numbers.dtype != np.float32 or numbers.size < LEAST:
            continue
        if weight not in stored:
            stored[weight] = _dequantised(writer, weight, numbers, _axis(node, numbers.ndim))
        node.replace_input_with(1, stored[weight])
        if not weight.uses():
            del model.graph.initializers[str(weight.name)]


def _dequantised(writer: GraphWriter, weight: ir.Value, numbers: F32, axis: int | None) -> ir.Value:
    params, name = params_of_weights(numbers, INT8, axis=axis), str(weight.name)
    parts = {"quantized": quantize(numbers, params), "scale": params.scale, "zero_point": params.zero_point}
    operands = [writer.constant(f"{name}_{what}", values) for what, values in parts.items()]
    along = () if axis is None else (ir.AttrInt64("axis", axis),)
    return writer.insert("DequantizeLinear", operands, f"{name}_dequantized", attributes=along)[0]


def _axis(node: ir.Node, axes: int) -> int | None:
    """The axis of the output channels; None where groups share it, or there is none."""
    if node.op_type == "Conv" or (node.op_type == "Gemm" and node.attributes.get_int("transB", 0) != 0):
        return 0
    if node.op_type == "ConvTranspose":
        return 1 if node.attributes.get_int("group", 1) == 1 else None
    return axes - 1 if axes > 1 else None
