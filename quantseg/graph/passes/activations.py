"""Five activations that exporters decompose into several nodes, replaced by their operators.

    hard-swish    x·clip(x + 3, 0, 6)/6, with the division (or product) anywhere  ->  HardSwish (opset 14), or
                  x·HardSigmoid(x) with α = 1/6, β = 1/2 below
    hard-sigmoid  clip(x + 3, 0, 6)/6, and the same with other constants  ->  HardSigmoid
    sigmoid       1/(1 + exp(−x))  ->  Sigmoid(x)
    SiLU          x/(1 + exp(−x))  ->  x·Sigmoid(x)
    PRelu         max(x, a·x) with every a <= 1, relu(x) − a·relu(−x)  ->  PRelu
Plan and runtimes recognise the operators only. The patterns of SiLU and PRelu are those of TensorFlow's exporters.
Sources: Howard et al., arXiv:1905.02244; Elfwing et al., arXiv:1702.03118; He et al., arXiv:1502.01852.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, initializer, input_at, only_producer, owner, replace, scalar
from quantseg.graph.passes.outcome import Change, RewriteOutcome

_HARD_SWISH_OPSET = 14
_CLOSE = 1e-6  # relative: exporters write 1/6 in float32, rounded in different ways
_DEPTH = 3  # levels of nested products; hard-swish takes two


def recognise_activations(model: ir.Model) -> RewriteOutcome:
    """Replaces every such pattern in the main graph."""
    changes = []
    for node in reversed(list(model.graph)):  # from the end: of a nested product the outermost node first
        if node.graph is None or node.domain != "":
            continue
        change: Change | None = None
        if node.op_type in ("Mul", "Div"):
            change = _hard_swish(node, model.opset_imports[""]) or _hard_sigmoid(node) or _silu(node)
        elif node.op_type == "Reciprocal":
            change = _silu(node)
        elif node.op_type in ("Max", "Add", "Sub"):
            change = _prelu(node)
        if change:
            changes.append(change)
    return RewriteOutcome(tuple(reversed(changes)))


@dataclass(frozen=True)
class _Product:
    """factor·leaf·leaf·…: a tree of Mul and Div nodes.

    leaves: each tensor factor with the node that reads it. nodes: the Mul and Div nodes, the outermost first.
    """

    factor: float
    leaves: tuple[tuple[ir.Value, ir.Node], ...]
    nodes: tuple[ir.Node, ...]


def _product(node: ir.Node, depth: int = _DEPTH) -> _Product | None:
    """The product that a Mul or Div ends, nested ones included; None where the divisor is a tensor or 0."""
    factor, nodes = 1.0, [node]
    leaves: list[tuple[ir.Value, ir.Node]] = []
    for index, value in enumerate(node.inputs):
        number = scalar(value)
        inner = only_producer(value, node, "Mul", "Div") if depth > 1 else None
        part = _product(inner, depth - 1) if inner is not None else None
        if node.op_type == "Div" and index == 1:
            if not number:
                return None
            factor /= number
        elif number is not None:
            factor *= number
        elif part is not None:
            factor *= part.factor
            leaves += part.leaves
            nodes += part.nodes
        elif value is not None:
            leaves.append((value, node))
    return _Product(factor, tuple(leaves), tuple(nodes))


def _hard_swish(node: ir.Node, opset: int) -> Change | None:
    product = _product(node)
    if product is None or len(product.leaves) != 2:
        return None
    for (x, _), (gate, user) in (product.leaves, product.leaves[::-1]):
        inside = _gate(x, gate, user, product.factor)
        if inside is not None:
            break
    else:
        return None
    if opset >= _HARD_SWISH_OPSET:
        new = [ir.node("HardSwish", [x], name=node.name)]
    elif len(product.nodes) == 1 and inside[0].op_type == "HardSigmoid":
        return None  # already in this form
    else:
        sigmoid = ir.node("HardSigmoid", [x], {"alpha": 1 / 6, "beta": 0.5}, name=f"{node.name}_gate")
        new = [sigmoid, ir.node("Mul", [x, sigmoid.outputs[0]], name=node.name)]
    replace(node, new, also=[*product.nodes[1:], *inside])
    count = len(product.nodes) + len(inside)
    return Change("recognise_activations", str(node.name), f"{count} nodes are one hard-swish")


def _gate(x: ir.Value, gate: ir.Value, user: ir.Node, factor: float) -> list[ir.Node] | None:
    """The nodes that compute `gate` from x, if only `user` reads it and factor·x·gate is hard-swish; else None."""
    if sigmoid := only_producer(gate, user, "HardSigmoid"):
        alpha = sigmoid.attributes["alpha"].as_float() if "alpha" in sigmoid.attributes else 0.2
        beta = sigmoid.attributes["beta"].as_float() if "beta" in sigmoid.attributes else 0.5
        same = _close(alpha, 1 / 6) and _close(beta, 0.5) and _close(factor, 1)
        return [sigmoid] if same and sigmoid.inputs[0] is x else None
    clip = only_producer(gate, user, "Clip")
    if clip is None or scalar(input_at(clip, 1)) != 0 or scalar(input_at(clip, 2)) != 6:
        return None
    add = only_producer(clip.inputs[0], clip, "Add")
    if add is None or x not in add.inputs or not _close(factor, 1 / 6):
        return None
    other = add.inputs[1] if add.inputs[0] is x else add.inputs[0]
    return [clip, add] if scalar(other) == 3 else None


def _hard_sigmoid(node: ir.Node) -> Change | None:
    product = _product(node)
    if product is None or len(product.leaves) != 1 or product.factor <= 0:
        return None
    ((gate, user),) = product.leaves
    clip = only_producer(gate, user, "Clip")
    high = scalar(input_at(clip, 2)) if clip is not None else None
    if clip is None or scalar(input_at(clip, 1)) != 0 or high is None or not _close(high * product.factor, 1):
        return None
    add = only_producer(clip.inputs[0], clip, "Add")
    if add is None:
        return None
    for x, other in (add.inputs, add.inputs[::-1]):
        if x is not None and (offset := scalar(other)) is not None:
            attributes = {"alpha": product.factor, "beta": offset * product.factor}
            also = [*product.nodes[1:], clip, add]
            replace(node, [ir.node("HardSigmoid", [x], attributes, name=node.name)], also=also)
            return Change("recognise_activations", str(node.name), f"{1 + len(also)} nodes are one hard-sigmoid")
    return None


def _silu(node: ir.Node) -> Change | None:
    """SiLU x/(1 + exp(−x)), or sigmoid 1/(1 + exp(−x))."""
    if node.op_type not in ("Div", "Reciprocal"):
        return None
    dividend = node.inputs[0] if node.op_type == "Div" else None
    add = only_producer(node.inputs[-1], node, "Add")
    if add is None or 1.0 not in (numbers := [scalar(value) for value in add.inputs]):
        return None
    exp = only_producer(add.inputs[1 - numbers.index(1.0)], add, "Exp")
    neg = only_producer(exp.inputs[0], exp, "Neg") if exp is not None else None
    if exp is None or neg is None or neg.inputs[0] is None:
        return None
    x, also = neg.inputs[0], [add, exp, neg]
    if node.op_type == "Reciprocal" or scalar(dividend) == 1:
        replace(node, [ir.node("Sigmoid", [x], name=node.name)], also=also)
        return Change("recognise_activations", str(node.name), "4 nodes are one Sigmoid")
    if dividend is not x:
        return None
    sigmoid = ir.node("Sigmoid", [x], name=f"{node.name}_gate")
    replace(node, [sigmoid, ir.node("Mul", [x, sigmoid.outputs[0]], name=node.name)], also=also)
    return Change("recognise_activations", str(node.name), "4 nodes are one SiLU")


def _prelu(node: ir.Node) -> Change | None:
    found = _maximum(node) if node.op_type == "Max" else _two_halves(node)
    if found is None or not _spreads(found.slopes, found.x):
        return None
    slopes = np.atleast_1d(found.slopes)
    inputs = [found.x, initializer(owner(node), f"{node.name}_slopes", slopes)]
    replace(node, [ir.node("PRelu", inputs, name=node.name)], also=found.nodes)
    return Change("recognise_activations", str(node.name), f"{1 + len(found.nodes)} nodes are one PRelu")


@dataclass(frozen=True)
class _Bent:
    """A PRelu of x that was found. nodes: those that it replaces, but for the last."""

    x: ir.Value
    slopes: NDArray[Any]
    nodes: tuple[ir.Node, ...]


def _maximum(node: ir.Node) -> _Bent | None:
    """max(x, a·x): PRelu where no a is above 1."""
    if len(node.inputs) != 2:
        return None
    for x, line in (node.inputs, node.inputs[::-1]):
        scaled = _times_constant(line, node)
        if x is not None and scaled is not None and scaled[0] is x and (scaled[1] <= 1).all():
            return _Bent(x, scaled[1], (scaled[2],))
    return None


def _two_halves(node: ir.Node) -> _Bent | None:
    """relu(x) − a·relu(−x), or relu(x) + (−a)·relu(−x)."""
    sides = [node.inputs, node.inputs[::-1]] if node.op_type == "Add" else [node.inputs]
    for above, below in sides:
        relu, scaled = only_producer(above, node, "Relu"), _times_constant(below, node)
        if relu is None or scaled is None:
            continue
        value, factors, mul = scaled
        lower = only_producer(value, mul, "Relu")
        negated = only_producer(lower.inputs[0], lower, "Neg") if lower is not None else None
        x = relu.inputs[0]
        if x is not None and lower is not None and negated is not None and negated.inputs[0] is x:
            return _Bent(x, -factors if node.op_type == "Add" else factors, (relu, mul, lower, negated))
    return None


def _times_constant(value: ir.Value | None, user: ir.Node) -> tuple[ir.Value, NDArray[Any], ir.Node] | None:
    """The tensor and the float32 constant that a Mul multiplies for `user` alone, and the Mul; else None."""
    mul = only_producer(value, user, "Mul")
    if mul is None:
        return None
    for factor, constant_side in (mul.inputs, mul.inputs[::-1]):
        array = constant(constant_side)
        if factor is not None and array is not None and array.dtype == np.float32:
            return factor, array, mul
    return None


def _spreads(slopes: NDArray[Any], x: ir.Value) -> bool:
    """Whether the slopes broadcast to the shape of x without changing it, as a PRelu requires."""
    if x.shape is None or slopes.ndim > len(x.shape):
        return False
    behind = x.shape[len(x.shape) - slopes.ndim :]
    return all(size in (1, dim) for size, dim in zip(slopes.shape, behind, strict=True))


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_CLOSE)
