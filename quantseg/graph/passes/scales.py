"""A Mul or Div by one number is folded into the weights upstream of it.

    c·move(x) = move(c·x)      c·mean(x) = mean(c·x)      c·(A·B) = (c·A)·B      c·(x + b) = c·x + c·b
    c·relu(x) = relu(c·x), and likewise for each maximum, where c > 0
The factor moves towards the input, over nodes with a single consumer, to a convolution or matrix product with constant
weights. So the 1/√d of attention, which multiplies a tensor with a number for each pair of pixels, costs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import bypass, constant, initializer, input_at, only_producer, owner, rank, scalar
from quantseg.graph.operators import BIASED_PRODUCTS, MOVEMENTS, PRODUCTS, SELECTIONS
from quantseg.graph.passes.linear import linear, write
from quantseg.graph.passes.outcome import Change, RewriteOutcome

_MOVING = MOVEMENTS - {"Gather", "Split"}  # several may read one tensor, each with its own factor
_AVERAGING = ("AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum")
_RISING = (SELECTIONS - {"GlobalMaxPool"}) | {"LeakyRelu", "Relu"}
"""Homogeneous for positive factors: f(c·x) = c·f(x) where c > 0."""
_TRAVELLED = PRODUCTS | _MOVING | _RISING | {*_AVERAGING, "Add", "Pad", "Resize"}


def fold_scales(model: ir.Model) -> RewriteOutcome:
    """Folds each Mul and Div by one number in the main graph that leads to constant weights. Needs inferred shapes."""
    changes = []
    for node in list(model.graph):
        found = _scaled(node)
        if found is None:
            continue
        x, factor = found
        edits = _Edits()
        if _travel(x, node, factor, edits) and bypass(node, x):
            for edit in edits.all:
                edit()
            changes.append(Change("fold_scales", str(node.name), f"folded into {edits.end}"))
    return RewriteOutcome(tuple(changes))


@dataclass
class _Edits:
    """Edits to apply once a path to constant weights is found. end: the name of the node that holds them."""

    all: list[Callable[[], None]] = field(default_factory=list)
    end: str = ""


def _scaled(node: ir.Node) -> tuple[ir.Value, float] | None:
    """x and c, where the node computes c·x in the shape of x, with c finite and not 0."""
    if node.domain != "" or node.op_type not in ("Mul", "Div") or node.outputs[0].dtype != ir.DataType.FLOAT:
        return None
    sides = [node.inputs, node.inputs[::-1]] if node.op_type == "Mul" else [node.inputs]
    for x, other in sides:
        number, axes, own = scalar(other), rank(other), rank(x)
        if x is None or not number or axes is None or own is None or axes > own:
            continue
        factor = number if node.op_type == "Mul" else 1 / number
        return (x, factor) if np.isfinite(factor) and factor else None
    return None


def _travel(value: ir.Value, user: ir.Node, factor: float, edits: _Edits) -> bool:
    """Whether the factor can be moved from `value`, read only by `user`, into weights; adds the edits to `edits`."""
    maker = only_producer(value, user, *_TRAVELLED)
    if maker is None:
        return False
    if maker.op_type in BIASED_PRODUCTS:
        return _into_weights(maker, factor, edits)
    if maker.op_type == "MatMul":
        return _into_product(maker, factor, edits)
    if maker.op_type == "Add":
        return _past_constant(maker, factor, edits)
    if (maker.op_type in _RISING and factor < 0) or not _passes(maker):
        return False
    source = maker.inputs[0]
    return source is not None and _travel(source, maker, factor, edits)


def _passes(node: ir.Node) -> bool:
    """Whether a factor can move past the node: a Pad or Resize must not write constants other than zero."""
    if node.op_type == "Pad":
        filled = node.attributes.get_string("mode", "constant") == "constant"
        return not filled or input_at(node, 2) is None or scalar(node.inputs[2]) == 0
    if node.op_type == "Resize":
        return node.attributes.get_string("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
    return len([output for output in node.outputs if output.uses()]) == 1


def _into_weights(node: ir.Node, factor: float, edits: _Edits) -> bool:
    kernel = linear(node)
    if kernel is None:
        return False
    scaled = kernel.scaled(np.full(kernel.outputs, factor), np.zeros(kernel.outputs))
    edits.all.append(partial(write, node, scaled))
    edits.end = str(node.name)
    return True


def _into_product(node: ir.Node, factor: float, edits: _Edits) -> bool:
    """Into the constant operand of a MatMul, else into the first operand that leads to weights."""
    for index, value in enumerate(node.inputs):
        array = constant(value)
        if array is not None and array.dtype == np.float32:
            edits.all.append(partial(_multiply, node, index, factor))
            edits.end = str(node.name)
            return True
    return any(value is not None and _travel(value, node, factor, edits) for value in node.inputs)


def _past_constant(node: ir.Node, factor: float, edits: _Edits) -> bool:
    for index, (x, summand) in enumerate((node.inputs[::-1], node.inputs)):
        array = constant(summand)
        if x is not None and array is not None and array.dtype == np.float32 and _travel(x, node, factor, edits):
            edits.all.append(partial(_multiply, node, index, factor))
            return True
    return False


def _multiply(node: ir.Node, index: int, factor: float) -> None:
    """Replaces the node's constant input by a new constant, `factor` times the old."""
    array = constant(node.inputs[index])
    assert array is not None
    scaled = (array.astype(np.float64) * factor).astype(np.float32)
    node.replace_input_with(index, initializer(owner(node), f"{node.name}_scaled", scaled))
