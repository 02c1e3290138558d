"""Relu, Clip, and Min and Max with a constant are clamps; consecutive clamps become one.

    max(x, a) = clip(x, a, ∞)        min(x, b) = clip(x, −∞, b)
    clip(clip(x, a, b), c, d) = clip(x, clip(a, c, d), clip(b, c, d))
So Relu6 has one form however it was exported, and the activations that contain it are recognised.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import initializer, input_at, only_producer, owner, rank, replace, scalar
from quantseg.graph.operators import CLAMPS
from quantseg.graph.passes.outcome import Change, RewriteOutcome

_CLAMPS = CLAMPS | {"Max", "Min"}


@dataclass(frozen=True)
class _Clamp:
    """`node` computes min(max(x, low), high), with low <= high."""

    node: ir.Node
    x: ir.Value
    low: float
    high: float


def merge_clamps(model: ir.Model) -> RewriteOutcome:
    """Writes Min and Max of the main graph as Clip, and chains of clamps as one. Needs inferred shapes."""
    changes = []
    for node in list(model.graph):
        clamp = _clamp(node)
        if clamp is None:
            continue
        before = only_producer(clamp.x, node, *_CLAMPS)
        inner = _clamp(before) if before is not None else None
        if inner is not None:
            low, high = (min(max(end, clamp.low), clamp.high) for end in (inner.low, inner.high))
            _write(node, inner.x, low, high, also=inner.node)
            changes.append(Change("merge_clamps", str(node.name), f"takes in {inner.node.name}"))
        elif node.op_type in ("Min", "Max"):
            _write(node, clamp.x, clamp.low, clamp.high)
            changes.append(Change("merge_clamps", str(node.name), f"{node.op_type} with a constant is a Clip"))
    return RewriteOutcome(tuple(changes))


def _clamp(node: ir.Node) -> _Clamp | None:
    x = node.inputs[0] if node.inputs else None
    if node.domain != "" or node.op_type not in _CLAMPS or x is None or node.outputs[0].dtype != ir.DataType.FLOAT:
        return None
    if node.op_type == "Relu":
        return _Clamp(node, x, 0.0, math.inf)
    if node.op_type == "Clip":
        low, high = _bound(node, 1, -math.inf), _bound(node, 2, math.inf)
        return None if low is None or high is None or not low <= high else _Clamp(node, x, low, high)
    return _extremum(node)


def _extremum(node: ir.Node) -> _Clamp | None:
    """Min or Max of a tensor and a constant of one number, in the tensor's shape."""
    if len(node.inputs) != 2:
        return None
    for x, other in (node.inputs, node.inputs[::-1]):
        number, axes, own = scalar(other), rank(other), rank(x)
        if x is None or number is None or math.isnan(number) or axes is None or own is None or axes > own:
            continue
        ends = (-math.inf, number) if node.op_type == "Min" else (number, math.inf)
        return _Clamp(node, x, *ends)
    return None


def _bound(node: ir.Node, index: int, absent: float) -> float | None:
    """The constant bound at this input, `absent` where it is omitted, None where it is computed."""
    return absent if input_at(node, index) is None else scalar(node.inputs[index])


def _write(node: ir.Node, x: ir.Value, low: float, high: float, *, also: ir.Node | None = None) -> None:
    name, graph = str(node.name), owner(node)
    if (low, high) == (0.0, math.inf):
        new = ir.node("Relu", [x], name=name)
    else:
        bounds = [
            None if math.isinf(end) else initializer(graph, f"{name}_{what}", np.array(end, np.float32))
            for what, end in (("low", low), ("high", high))
        ]
        new = ir.node("Clip", [x, *bounds], name=name)
    replace(node, [new], also=[] if also is None else [also])
