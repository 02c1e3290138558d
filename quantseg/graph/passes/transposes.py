"""Transposes move towards the output, past elementwise nodes, until they meet their inverse and both vanish.

    f(Transpose(x, p), c) = Transpose(f(x, Transpose(c, p⁻¹)), p)
Models converted from channels-last frameworks wrap each convolution in two Transposes, with bias and activation
outside of them. Once these Transposes are gone, bias and activation directly follow the convolution and can be folded
into it. Transposes also move past Concat and Pad, whose axes are renumbered, and past means and maxima:
    mean(Transpose(x, p), axes) = Transpose(mean(x, p[axes]), p)
"""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import bypass, constant, initializer, ints, only_producer, owner, replace
from quantseg.graph.operators import REDUCTIONS
from quantseg.graph.passes.normalisations import normalising
from quantseg.graph.passes.outcome import Change, RewriteOutcome
from quantseg.graph.passes.pad import widths
from quantseg.graph.passes.reductions import reduced_axes

_BY_NUMBER = frozenset((
    "Abs", "Add", "Clip", "Div", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "LeakyRelu", "Max", "Min",
    "Mul", "Neg", "PRelu", "Pow", "Relu", "Selu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh",
))  # fmt: skip


def sink_transposes(model: ir.Model) -> RewriteOutcome:
    """Moves and cancels Transposes of the main graph until none can move. Needs inferred shapes."""
    changes: list[Change] = []
    normalisations = normalising(model.graph)  # recognised before any Transpose moves
    moved = True
    while moved:  # every move brings a Transpose nearer to the output, so this ends
        moved = False
        for node in list(model.graph):
            if node.graph is None or node.domain != "":
                continue
            if node.op_type == "Transpose":
                source = _undone(node)
                if source is not None and bypass(node, source):
                    changes.append(Change("sink_transposes", str(node.name), "undoes the Transpose before it"))
                    moved = True
            elif change := _sink(node) or (None if node in normalisations else _reduce_before(node)):
                changes.append(change)
                moved = True
    return RewriteOutcome(tuple(changes))


def _undone(node: ir.Node) -> ir.Value | None:
    """What the Transpose equals, if it undoes the Transpose before it or changes nothing; else None."""
    second, source = _permutation(node), node.inputs[0]
    before = source.producer() if source is not None else None
    if second and second == tuple(sorted(second)):
        return source
    if not second or before is None or before.op_type != "Transpose" or before.domain != "":
        return None
    first = _permutation(before)
    undone = len(first) == len(second) and all(first[axis] == place for place, axis in enumerate(second))
    return before.inputs[0] if undone else None


def _permutation(node: ir.Node) -> tuple[int, ...]:
    """perm; () where it is omitted, which reverses the axes: no channels-last conversion writes that."""
    return tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else ()


def _sink(node: ir.Node) -> Change | None:
    """Moves the Transposes that feed only this node behind it; None where there are none, or it cannot take them."""
    if len(node.outputs) != 1 or node.op_type not in _BY_NUMBER | {"Concat", "Pad"}:
        return None
    before = [only_producer(value, node, "Transpose") for value in node.inputs]
    orders = {_permutation(transpose) for transpose in before if transpose is not None}
    if len(orders) != 1 or () in orders:
        return None
    (order,) = orders
    inner = _reordered(node, [t.inputs[0] if t is not None else None for t in before], order)
    if inner is None:
        return None
    transposes = [transpose for transpose in before if transpose is not None]
    behind = ir.node("Transpose", [inner.outputs[0]], {"perm": order}, name=transposes[0].name)
    replace(node, [inner, behind], also=transposes)
    return Change("sink_transposes", str(behind.name), f"moved behind {inner.name}")


def _reduce_before(node: ir.Node) -> Change | None:
    """Moves a reduction before the Transpose that feeds it, even one with other consumers: its result is small."""
    source = node.inputs[0] if node.op_type in REDUCTIONS else None
    transpose = source.producer() if source is not None else None
    if transpose is None or transpose.op_type != "Transpose" or transpose.domain != "":
        return None
    order, keeps = _permutation(transpose), node.attributes.get_int("keepdims", 1)
    over = reduced_axes(node, len(order)) if order and transpose.graph is node.graph else None
    if not over:
        return None
    axes = sorted(order[axis] for axis in over)
    attributes = {name: value for name, value in node.attributes.items() if name != "axes"}
    named = [ints(owner(node), f"{node.name}_axes", axes)] if len(node.inputs) > 1 else []
    if "axes" in node.attributes:  # without axes it reduces all of them
        attributes["axes"] = ir.AttrInt64s("axes", axes)
    inner = ir.node(node.op_type, [transpose.inputs[0], *named], attributes, name=node.name)
    left = [axis for axis in order if axis not in axes]
    behind = order if keeps else tuple(sorted(left).index(axis) for axis in left)
    name = f"{transpose.name}_of_{node.name}"
    replace(node, [inner, ir.node("Transpose", [inner.outputs[0]], {"perm": behind}, name=name)])
    return Change("sink_transposes", str(transpose.name), f"moved behind {inner.name}")


def _reordered(node: ir.Node, sources: list[ir.Value | None], order: tuple[int, ...]) -> ir.Node | None:
    """The node on the inputs of the Transposes (sources); None where another input is not a constant that fits."""
    attributes = dict(node.attributes)
    inputs = [
        source if source is not None else _constant_reordered(node, value, order)
        for source, value in zip(sources, node.inputs, strict=True)
    ]
    if node.op_type == "Pad":
        added = widths(node, len(order))
        if added is None:
            return None
        back = np.argsort(order)
        numbers = [side[axis] for side in added for axis in back]
        inputs = [sources[0], ints(owner(node), f"{node.name}_pads", numbers), *list(node.inputs[2:3])]
    elif any(new is None and value is not None for new, value in zip(inputs, node.inputs, strict=True)):
        return None
    if node.op_type == "Concat":
        attributes["axis"] = ir.AttrInt64("axis", order[attributes["axis"].as_int()])
    return ir.node(node.op_type, inputs, attributes, name=node.name)


def _constant_reordered(node: ir.Node, value: ir.Value | None, order: tuple[int, ...]) -> ir.Value | None:
    """The constant with its axes in the order that the inputs of the Transposes have; a scalar stays as it is."""
    array: NDArray[Any] | None = constant(value)
    if value is None or array is None or array.ndim > len(order):
        return None
    if array.ndim == 0:
        return value
    aligned = array.reshape((1,) * (len(order) - array.ndim) + array.shape)
    return initializer(owner(node), f"{value.name}_reordered", aligned.transpose(np.argsort(order)))
