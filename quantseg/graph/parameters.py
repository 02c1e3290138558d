"""Constants that hold one number for each channel: no runtime computes what they contradict each other on."""

import onnx_ir as ir

from quantseg.errors import ModelError
from quantseg.graph.edit import input_at

_NORMALISATIONS = {"BatchNormalization": 5, "InstanceNormalization": 3}
"""Operator → its number of inputs, all but the first of which hold a number for each channel."""
_CONVOLUTIONS = ("Conv", "ConvTranspose")


def check_parameters(model: ir.Model) -> None:
    """Raises ModelError where such a constant is no vector, or of another length than those or the weight beside it."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.domain != "":
            continue
        if node.op_type in _NORMALISATIONS and "spatial" not in node.attributes:  # up to opset 8, of other shapes
            shapes = [_shape(input_at(node, index)) for index in range(1, _NORMALISATIONS[node.op_type])]
            _require_alike(node, [shape for shape in shapes if shape is not None])
        elif node.op_type in _CONVOLUTIONS:
            weight, bias = _shape(input_at(node, 1)), _shape(input_at(node, 2))
            _require_weight(node, weight)
            if weight is not None and bias is not None:
                outputs = weight[0] if node.op_type == "Conv" else weight[1] * _groups(node)
                _require_alike(node, [(outputs,), bias])


def _require_alike(node: ir.Node, shapes: list[tuple[int, ...]]) -> None:
    if any(len(shape) != 1 or shape != shapes[0] for shape in shapes):
        listed = ", ".join(str(list(shape)) for shape in shapes)
        raise ModelError(
            f"node {node.name!r} ({node.op_type}) has constants of shape {listed} for its channels; "
            "each must be one number a channel, export it again"
        )


def _require_weight(node: ir.Node, weight: tuple[int, ...] | None) -> None:
    groups = _groups(node)
    if weight is not None and (len(weight) < 3 or groups < 1 or weight[0] % groups):
        raise ModelError(
            f"node {node.name!r} ({node.op_type}) has a weight of shape {list(weight)} for {groups} groups; "
            "export it again"
        )


def _groups(node: ir.Node) -> int:
    group = node.attributes.get("group")
    return 1 if group is None else group.as_int()


def _shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape of a constant, None for anything else. Its numbers are not read."""
    if value is None or value.is_graph_input():
        return None
    maker, tensor = value.producer(), value.const_value
    if maker is not None and maker.op_type == "Constant" and "value" in maker.attributes:
        tensor = maker.attributes["value"].as_tensor()
    return None if tensor is None else tuple(tensor.shape.numpy())
