"""HardSigmoid, which no runtime has an integer kernel for, as a linear operator and a Clip.

    HardSigmoid(x) = clip(α·x + β, 0, 1)
α·x + β is folded into the convolution that produces x, where nothing else reads x (as in the gate of a squeeze-excite
block). Otherwise it becomes a 1x1 depthwise Conv, or a Mul and an Add of one number where there are no channels. The
Clip costs nothing in integers: the saturation of its input's grid clamps.
Source of squeeze-excite with this gate: Howard et al., arXiv:1905.02244, section 5.2.
"""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import initializer, owner, rank, replace
from quantseg.graph.operators import BIASED_PRODUCTS
from quantseg.graph.passes.depthwise import depthwise
from quantseg.graph.passes.linear import linear, write
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome, outcome_of
from quantseg.graph.passes.reach import ONLY_THE_HEAD, leading_to_product


def lower_hard_sigmoids(model: ir.Model) -> RewriteOutcome:
    """Rewrites every HardSigmoid of the main graph where an integer form pays. Needs inferred shapes."""
    useful = leading_to_product(model.graph)
    gates = [node for node in model.graph if node.op_type == "HardSigmoid" and node.domain == ""]
    return outcome_of(*(_lower(node, useful=node in useful) for node in gates))


def slope_and_offset(node: ir.Node) -> tuple[float, float]:
    """α and β of a HardSigmoid, with ONNX's defaults."""
    return node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)


def scale_producer(value: ir.Value, readers: Collection[ir.Node], scale: float, shift: float) -> ir.Node | None:
    """Folds scale·value + shift into the weights of the linear node that produces `value`; returns that node.

    readers: the nodes that may read the value. Returns None, and changes nothing, where others read it or no linear
    node produces it.
    """
    producer = value.producer()
    if producer is None or producer.domain != "" or producer.op_type not in BIASED_PRODUCTS or value.is_graph_output():
        return None
    if any(user not in readers for user in value.consumers()) or producer.graph is not next(iter(readers)).graph:
        return None
    kernel = linear(producer)
    if kernel is None:
        return None
    write(producer, kernel.scaled(np.full(kernel.outputs, scale), np.full(kernel.outputs, shift)))
    return producer


def clip(graph: ir.Graph, value: ir.Value, high: float, name: str) -> ir.Node:
    """A node for clip(value, 0, high), not yet inserted."""
    bounds = [initializer(graph, f"{name}_{end}", np.float32(number)) for end, number in (("low", 0), ("high", high))]
    return ir.node("Clip", [value, *bounds], name=name)


def _lower(node: ir.Node, *, useful: bool) -> Change | Refusal:
    name, graph, x = str(node.name), owner(node), node.inputs[0]
    alpha, beta = slope_and_offset(node)
    assert x is not None
    producer = scale_producer(x, [node], alpha, beta)
    if producer is not None:
        replace(node, [clip(graph, x, 1.0, name)])
        return Change("lower_hard_sigmoids", name, f"its line folded into {producer.name}: now a Clip")
    if not useful:
        return Refusal("lower_hard_sigmoids", name, ONLY_THE_HEAD)
    parts = line(graph, x, alpha, beta, name)
    replace(node, [*parts, clip(graph, parts[-1].outputs[0], 1.0, name)])
    return Change("lower_hard_sigmoids", name, f"now {', '.join(part.op_type for part in parts)} and Clip")


def line(graph: ir.Graph, x: ir.Value, alpha: float, beta: float, name: str) -> list[ir.Node]:
    """Nodes for α·x + β, not yet inserted: a depthwise Conv where x has a channel axis, else Mul and Add."""
    axes = rank(x)
    channels = x.shape[1] if x.shape is not None and axes is not None and axes > 2 else None
    if axes is not None and isinstance(channels, int):
        factors = np.full((1, channels, *(1,) * (axes - 2)), alpha, np.float32)
        return [depthwise(graph, x, factors, beta, name=f"{name}_line")]
    factor, summand = (
        initializer(graph, f"{name}_{what}", np.array(number, np.float32))
        for what, number in (("slope", alpha), ("offset", beta))
    )
    scaled = ir.node("Mul", [x, factor], name=f"{name}_scaled")
    return [scaled, ir.node("Add", [scaled.outputs[0], summand], name=f"{name}_line")]
