"""Small models that quantise or dequantise one tensor, to time what a border between float and integers costs."""

import numpy as np
import onnx_ir as ir

from quantseg.quantization.qtypes import QType

_OPSET = 13
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def quantising(shape: tuple[int, ...], qtype: QType, *, turned: bool) -> ir.Model:
    """A model that quantises a tensor. turned: it also transposes from (N, C, H, W) to (N, H, W, C)."""
    return _model("QuantizeLinear", ir.DataType.FLOAT, ir.DataType[qtype.name.upper()], shape, turned, qtype)


def dequantising(shape: tuple[int, ...], qtype: QType, *, turned: bool) -> ir.Model:
    """A model that dequantises a tensor. turned: it also transposes from (N, H, W, C) to (N, C, H, W)."""
    return _model("DequantizeLinear", ir.DataType[qtype.name.upper()], ir.DataType.FLOAT, shape, turned, qtype)


def _model(
    op_type: str, before: ir.DataType, after: ir.DataType, shape: tuple[int, ...], turned: bool, qtype: QType
) -> ir.Model:
    """shape: of the float tensor. The integers are what is transposed, since they are a quarter of the bytes."""
    inner = tuple(shape[axis] for axis in _TO_LAST) if turned else shape
    first, last = (shape, inner) if op_type == "QuantizeLinear" else (inner, shape)
    value = source = ir.Value(name="x", shape=ir.Shape(first), type=ir.TensorType(before))
    scale, zero = _constant("scale", np.array(0.1, np.float32)), _constant("zero", np.zeros((), qtype.dtype))
    nodes = []

    def turn(value: ir.Value, order: tuple[int, ...]) -> ir.Value:
        nodes.append(ir.Node("", "Transpose", [value], [ir.AttrInt64s("perm", order)], name="turn"))
        return nodes[-1].outputs[0]

    if turned and op_type == "DequantizeLinear":
        value = turn(value, _TO_FIRST)
    nodes.append(ir.Node("", op_type, [value, scale, zero], name="cross"))
    value = nodes[-1].outputs[0]
    if turned and op_type == "QuantizeLinear":
        value = turn(value, _TO_LAST)
    for index, node in enumerate(nodes):
        node.outputs[0].name = f"y{index}"
    value.shape, value.type = ir.Shape(last), ir.TensorType(after)
    imports = {"": _OPSET}
    graph = ir.Graph([source], [value], nodes=nodes, initializers=[scale, zero], opset_imports=imports, name="border")
    return ir.Model(graph, ir_version=8)


def _constant(name: str, number: np.ndarray) -> ir.Value:
    tensor = ir.Tensor(number, name=name)
    return ir.Value(name=name, shape=ir.Shape(()), type=ir.TensorType(tensor.dtype), const_value=tensor)
