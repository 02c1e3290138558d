"""Means and maxima over axes (ReduceMean, GlobalMaxPool) as operators that have integer kernels.

    mean over all pixels         ->  GlobalAveragePool        maximum over all pixels  ->  ReduceMax
    mean over rows or columns    ->  AveragePool of that length
    mean over C channels         ->  1x1 Conv with weights 1/C
A Squeeze follows where keepdims is 0.
Sources: squeeze-excite, Hu et al., arXiv:1709.01507; means over channels, Woo et al., arXiv:1807.06521; over rows and
columns, Hou et al., arXiv:2103.02907.
"""

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant, initializer, input_at, ints, owner, rank, replace
from quantseg.graph.passes.normalisations import normalising
from quantseg.graph.passes.outcome import Change, RewriteOutcome
from quantseg.graph.passes.reach import leading_to_product


def lower_reductions(model: ir.Model) -> RewriteOutcome:
    """Rewrites ReduceMean and GlobalMaxPool of the main graph where a convolution or matrix product follows.

    Needs inferred shapes. The means of normalisations are left alone.
    """
    useful, kept = leading_to_product(model.graph), normalising(model.graph)
    changes = []
    for node in list(model.graph):
        if node.domain != "" or node not in useful or node in kept:
            continue
        new = _maximum(node) if node.op_type == "GlobalMaxPool" else _mean(node)
        if new:
            replace(node, new)
            changes.append(Change("lower_reductions", str(node.name), f"now {' and '.join(n.op_type for n in new)}"))
    return RewriteOutcome(tuple(changes))


def reduced_axes(node: ir.Node, axes: int) -> tuple[int, ...] | None:
    """The axes that a Reduce operator reduces, sorted; None where they are computed. axes: rank of its input."""
    if "axes" in node.attributes:
        named = [int(axis) for axis in node.attributes["axes"].as_ints()]
    elif input_at(node, 1) is not None:
        numbers = constant(node.inputs[1])
        if numbers is None:
            return None
        named = [int(axis) for axis in numbers.reshape(-1)]
    else:
        named = []
    if not named:
        return () if node.attributes.get_int("noop_with_empty_axes", 0) else tuple(range(axes))
    return tuple(sorted(axis % axes for axis in named))


def _maximum(node: ir.Node) -> list[ir.Node]:
    axes = rank(node.inputs[0])
    if axes is None or axes < 3:
        return []
    over = list(range(2, axes))
    if owner(node).opset_imports.get("", 0) >= _AXES_ARE_AN_INPUT:
        return [ir.node("ReduceMax", [node.inputs[0], ints(owner(node), f"{node.name}_axes", over)], name=node.name)]
    return [ir.node("ReduceMax", [node.inputs[0]], {"axes": over}, name=node.name)]


_AXES_ARE_AN_INPUT = 18


def _mean(node: ir.Node) -> list[ir.Node]:
    x = node.inputs[0] if node.inputs else None
    axes = rank(x)
    if node.op_type != "ReduceMean" or x is None or axes is None or axes < 3 or x.dtype != ir.DataType.FLOAT:
        return []
    over = reduced_axes(node, axes)
    mean = None if over is None else _pooled(node, x, over, axes)
    if mean is None or over is None:
        return []
    if node.attributes.get_int("keepdims", 1):
        mean.name = node.name
        return [mean]
    where = ints(owner(node), f"{node.name}_axes", over)
    return [mean, ir.node("Squeeze", [mean.outputs[0], where], name=node.name)]


def _pooled(node: ir.Node, x: ir.Value, over: tuple[int, ...], axes: int) -> ir.Node | None:
    """A node for the mean over these axes with keepdims, not yet inserted; None where there is no such form."""
    name, spatial = f"{node.name}_mean", tuple(range(2, axes))
    assert x.shape is not None
    sizes = [dim if isinstance(dim, int) else None for dim in x.shape]
    if over == spatial:
        return ir.node("GlobalAveragePool", [x], name=name)
    if over == (1,) and sizes[1] is not None:
        weight = np.full((1, sizes[1], *(1,) * len(spatial)), 1 / sizes[1], np.float32)
        inputs = [x, initializer(owner(node), f"{name}_weight", weight)]
        return ir.node("Conv", inputs, {"kernel_shape": [1] * len(spatial)}, name=name)
    if not over or not set(over) < set(spatial):
        return None
    window = [sizes[axis] if axis in over else 1 for axis in spatial]
    known = [size for size in window if size is not None]
    if len(known) < len(window):
        return None
    return ir.node("AveragePool", [x], {"kernel_shape": known, "strides": known}, name=name)
