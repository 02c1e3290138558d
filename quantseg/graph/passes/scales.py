"""A product with one number belongs into the weights that make what it multiplies.

    c·move(x) = move(c·x)      c·mean(x) = mean(c·x)      c·(A·B) = (c·A)·B      c·(x + b) = c·x + c·b
    c·relu(x) = relu(c·x), and likewise each maximum, for c > 0
It travels towards the input over nodes that nobody else reads, until it meets a convolution or matrix product with
constant weights. So the 1/√d of attention, which multiplies a image as large as all pairs of pixels, costs nothing.
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

_MOVING = MOVEMENTS - {"Gather", "Split"}  # which part what several nodes read: each scales its own
_AVERAGING = ("AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum")
_RISING = (SELECTIONS - {"GlobalMaxPool"}) | {"LeakyRelu", "Relu"}
"""They keep the order of numbers, so a positive factor passes."""
_TRAVELLED = PRODUCTS | _MOVING | _RISING | {*_AVERAGING, "Add", "Pad", "Resize"}


def fold_scales(model: ir.Model) -> RewriteOutcome:
    """Folds each Mul and Div by one number of the main graph that finds its weights. Needs inferred shapes."""
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
    """What is to be done at the end of a way that leads to weights; end: the node that holds them."""

    all: list[Callable[[], None]] = field(default_factory=list)
    end: str = ""


def _scaled(node: ir.Node) -> tuple[ir.Value, float] | None:
    """x and c, where the node gives c·x in x's shape, with c finite and not 0."""
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
    """Whether weights make `value`, which only `user` reads; then `edits` multiplies them by the factor."""
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
    """Whether a Pad or Resize writes nothing but numbers of its input and zeros; the others do."""
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
    """The constant side of a MatMul, else the first side that leads to weights."""
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
    """Gives the node a new constant at an input, `factor` times the old."""
    array = constant(node.inputs[index])
    assert array is not None
    scaled = (array.astype(np.float64) * factor).astype(np.float32)
    node.replace_input_with(index, initializer(owner(node), f"{node.name}_scaled", scaled))
