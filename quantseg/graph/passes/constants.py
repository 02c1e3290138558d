"""Constant folding: nodes that do not depend on the model's input are computed once, here.

The Shape of a tensor with static dims is such a constant. Only operators of a list are folded: deterministic ones
whose cost is proportional to the bytes that they write, and that number is bounded before they are run.
"""

import math
import warnings
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from quantseg.graph.edit import constant, initializer, owner, static_shape
from quantseg.graph.passes.outcome import Change, RewriteOutcome

SIZE_LIMIT = 1 << 26
"""Most bytes of one folded constant (64 MB); beyond, keeping the node makes the smaller file."""

_DYNAMIC = -1  # a dynamic dim

_FOLDABLE = frozenset((
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "ConstantOfShape", "Div", "Equal", "Exp",
    "Expand", "Flatten", "Floor", "Gather", "GatherElements", "Greater", "GreaterOrEqual",
    "Identity", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad", "Pow",
    "Range", "Reciprocal", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round",
    "ScatterND", "Sign", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile", "Transpose",
    "Unsqueeze", "Where",
))  # fmt: skip


def fold_constants(model: ir.Model) -> RewriteOutcome:
    """Replaces every node of the main graph whose outputs are constant, Constant nodes too, by initializers.

    Needs inferred shapes.
    """
    changes = []
    for node in list(model.graph):
        arrays = _evaluate(node, model.opset_imports[""])
        if arrays is None:
            continue
        for output, array in zip(node.outputs, arrays, strict=True):
            if output.uses():
                output.replace_all_uses_with(initializer(model.graph, str(output.name), array))
        owner(node).remove(node, safe=True)
        if node.op_type != "Constant":
            changes.append(Change("fold_constants", str(node.name), f"{node.op_type} of constants computed"))
    return RewriteOutcome(tuple(changes))


def _evaluate(node: ir.Node, opset: int) -> list[NDArray[Any]] | None:
    """The node's outputs; None where they are not constant, too big, or graph outputs."""
    if node.domain != "" or any(output.is_graph_output() for output in node.outputs):
        return None
    if node.op_type == "Constant":
        held = constant(node.outputs[0])
        return None if held is None else [held]
    if node.op_type == "Shape":
        sizes = _shape(node)
        return None if sizes is None or (sizes == _DYNAMIC).any() else [sizes]
    if node.op_type not in _FOLDABLE or not node.inputs or not all(map(_bounded, node.outputs)):
        return None
    arrays = [constant(value) for value in node.inputs]
    from_sizes = arrays[0] is None and node.op_type in ("Gather", "Slice")
    if from_sizes:
        arrays[0] = _sizes(node.inputs[0])
    if any(array is None and value is not None for array, value in zip(arrays, node.inputs, strict=True)):
        return None
    results = _run(node, arrays, opset)
    if from_sizes and results is not None and (results[0] == _DYNAMIC).any():
        return None
    return results


def _sizes(value: ir.Value | None) -> NDArray[np.int64] | None:
    """The dims that `value` holds if a Shape node produces it, else None; see `_shape`."""
    maker = value.producer() if value is not None else None
    return _shape(maker) if maker is not None and maker.op_type == "Shape" and maker.domain == "" else None


def _shape(node: ir.Node) -> NDArray[np.int64] | None:
    """The output of a Shape node, with _DYNAMIC for dynamic dims; None where the rank is unknown."""
    source = node.inputs[0]
    if source is None or source.shape is None:
        return None
    sizes = np.array([dim if isinstance(dim, int) else _DYNAMIC for dim in source.shape], dtype=np.int64)
    start, end = (node.attributes[key].as_int() if key in node.attributes else None for key in ("start", "end"))
    return sizes[start:end]


def _bounded(value: ir.Value) -> bool:
    sizes = static_shape(value)
    return sizes is not None and value.dtype is not None and math.prod(sizes) * value.dtype.itemsize <= SIZE_LIMIT


def _run(node: ir.Node, arrays: list[NDArray[Any] | None], opset: int) -> list[NDArray[Any]] | None:
    """The node's outputs by onnx's reference evaluator; None where it fails: the runtime will say why."""
    inputs = {f"x{index}": array for index, array in enumerate(arrays) if array is not None}
    names = [f"x{index}" if array is not None else "" for index, array in enumerate(arrays)]
    outputs = [f"y{index}" for index in range(len(node.outputs))]
    lone = onnx.helper.make_node(node.op_type, names, outputs)
    lone.attribute.extend(ir.serde.serialize_attribute(attr) for attr in node.attributes.values())
    graph = onnx.helper.make_graph(
        [lone],
        "lone",
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in inputs],
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in outputs],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            results = ReferenceEvaluator(model).run(None, inputs)
    except Exception:  # an operator may raise anything on a graph that was never run
        return None
    return [np.asarray(result) for result in results]
