"""Constant folding: nodes that do not depend on the model's input are computed once, here.

The Shape of a tensor with static dims is such a constant. Only operators of a list are folded: deterministic ones
whose cost is proportional to the bytes that they write. The bytes of each and of all of them are bounded before any is
run, those of constants that are left to the runtime among them.
"""

import math
import warnings
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from quantseg.errors import ModelError
from quantseg.files import limits
from quantseg.graph.edit import constant, initializer, owner, static_shape
from quantseg.graph.passes.outcome import Change, RewriteOutcome
from quantseg.graph.weightless import infer_shapes

_ROUNDS = 64
"""Most rounds of folding: each makes the sizes behind one more computed padding or resizing known."""
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

    Needs inferred shapes. Raises ModelError where such constants take more memory than `limits` allows.
    """
    changes = []
    total = _Sum(model.graph)
    for node in list(model.graph):
        total.add(node)
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


def fold_more_constants(model: ir.Model) -> RewriteOutcome:
    """Folds on while that makes more shapes known, and so more constants, as a chain of computed paddings does."""
    total = RewriteOutcome()
    for _ in range(_ROUNDS):
        outcome = fold_constants(model)
        if not outcome.changes:
            break
        total += outcome
        infer_shapes(model)
    return total


class _Sum:
    """Adds up the bytes of all values that do not depend on the model's input.

    Also of those that stay nodes: a runtime computes them when it opens the model.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self._stored = int(sum(map(_bytes, graph.initializers.values())))
        self._kept: set[ir.Value] = set()
        self._total = 0.0

    def add(self, node: ir.Node) -> None:
        """Counts the outputs of the next node. Raises ModelError beyond the bounds in `limits`."""
        if node.op_type not in ("Shape", "Size") and not all(map(self._is_constant, node.inputs)):
            return
        self._kept.update(node.outputs)
        if node.op_type != "Constant":
            self._total += sum(map(_bytes, node.outputs))
        most = limits.FOLDED_CONSTANTS + limits.FOLDED_PER_STORED * self._stored
        if self._total > most:
            raise ModelError(
                f"its {self._stored:,} bytes of weights become constants of more than {most >> 20:,} MiB at node "
                f"{node.name!r}; export it with smaller ones"
            )

    def _is_constant(self, value: ir.Value | None) -> bool:
        return value is None or value in self._kept or (value.is_initializer() and not value.is_graph_input())


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
    known = static_shape(value) is not None and value.dtype not in (None, ir.DataType.STRING)
    return known and _bytes(value) <= limits.FOLDED_CONSTANT


def _bytes(value: ir.Value) -> float:
    """The bytes of a value; 0 where shape or type are unknown, and for strings."""
    sizes = static_shape(value)
    if sizes is None or value.dtype is None or value.dtype == ir.DataType.STRING:
        return 0
    return math.prod(sizes) * value.dtype.bitwidth / 8


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
