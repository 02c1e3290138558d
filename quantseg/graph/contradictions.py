"""Numbers of a node that contradict each other or its tensors, where onnxruntime sees that only when the node runs.

The rewrites and the plan compute with these numbers before anything runs, so they are checked beforehand: weights,
groups and windows of convolutions and pools, and the axes of all operators.
"""

import onnx_ir as ir

from quantseg.errors import ModelError
from quantseg.graph.edit import input_at, rank, static_shape

_WINDOWED = ("Conv", "ConvTranspose", "AveragePool", "MaxPool", "LpPool", "MaxUnpool")


def check_contradictions(graph: ir.Graph) -> None:
    """Raises ModelError for a node of the graph whose numbers contradict each other. Needs inferred shapes."""
    for node in graph:
        if node.domain == "":
            fault = _axis_fault(node) or (_window_fault(node) if node.op_type in _WINDOWED else None)
            if fault is not None:
                raise ModelError(f"node {node.name!r} ({node.op_type}): {fault}; export the model again")


def _axis_fault(node: ir.Node) -> str | None:
    """An axis that the first input does not have; one axis more is right where an operator splits or adds axes."""
    axis, axes = node.attributes.get("axis"), rank(input_at(node, 0))
    if axis is None or axis.type != ir.AttributeType.INT or axes is None or -axes - 1 <= axis.as_int() <= axes:
        return None
    return f"axis {axis.as_int()} of a tensor of {axes}"


def _window_fault(node: ir.Node) -> str | None:
    """What is wrong with a convolution or pool, None for nothing that can be seen here."""
    weight = static_shape(input_at(node, 1)) if node.op_type in ("Conv", "ConvTranspose") else None
    if weight is not None:
        fault = _weight_fault(node, weight)
        if fault is not None:
            return fault
    kernel = _ints(node, "kernel_shape")
    if weight is not None and kernel is not None and kernel != weight[2:]:
        return f"kernel_shape {list(kernel)} for a weight of {list(weight)}"
    for name in ("kernel_shape", "strides", "dilations"):
        numbers = _ints(node, name)
        if numbers is not None and min(numbers, default=1) < 1:
            return f"{name} {list(numbers)}"
    return None


def _weight_fault(node: ir.Node, weight: tuple[int, ...]) -> str | None:
    groups = node.attributes.get_int("group", 1)
    data, bias = input_at(node, 0), static_shape(input_at(node, 2))
    if len(weight) < 3 or 0 in weight:
        return f"a weight of {list(weight)}"
    if groups < 1 or weight[0] % groups:
        return f"a weight of {list(weight)} in {groups} groups"
    transposed = node.op_type == "ConvTranspose"
    inputs, outputs = (weight[0], weight[1] * groups) if transposed else (weight[1] * groups, weight[0])
    channels = data.shape[1] if data is not None and data.shape is not None and len(data.shape) > 1 else None
    if isinstance(channels, int) and channels != inputs:
        return f"a weight of {list(weight)} in {groups} groups for {channels} channels"
    if bias is not None and bias != (outputs,):
        return f"a bias of {list(bias)} for {outputs} channels"
    return None


def _ints(node: ir.Node, name: str) -> tuple[int, ...] | None:
    return tuple(node.attributes[name].as_ints()) if name in node.attributes else None
