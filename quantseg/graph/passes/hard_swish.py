"""Hard-swish, x·clip(α·x + β, 0, 1), after a convolution: its scale is folded into the weights.

    x·clip(α·x + β, 0, 1) = z·clip(z + β/√α, 0, 1/√α),    z = √α·x
So Conv' = √α·Conv is followed by an Add of one number (the clip is the saturation of its grid) and a Mul: two integer
operators. HardSwish has α = 1/6, β = 1/2. Where no convolution produces x, or others read x too, HardSwish becomes
x·HardSigmoid(x), which hard_sigmoid.py lowers.
Source of hard-swish: Howard et al., arXiv:1905.02244; the identity is derived here.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import initializer, only_producer, owner, replace
from quantseg.graph.passes.hard_sigmoid import clip, scale_producer, slope_and_offset
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome, outcome_of
from quantseg.graph.passes.reach import ONLY_THE_HEAD, leading_to_product


@dataclass(frozen=True)
class _Swish:
    """`node` computes x·clip(α·x + β, 0, 1). gate: the HardSigmoid before a Mul; None for a HardSwish node."""

    node: ir.Node
    x: ir.Value
    alpha: float
    beta: float
    gate: ir.Node | None


def lower_hard_swishes(model: ir.Model) -> RewriteOutcome:
    """Rewrites every HardSwish and x·HardSigmoid(x) of the main graph where an integer form pays.

    Needs inferred shapes.
    """
    useful = leading_to_product(model.graph)
    found = [swish for node in model.graph if (swish := _swish(node)) is not None]
    notes = (_lower(swish, useful=swish.node in useful) for swish in found)
    return outcome_of(*(note for note in notes if note is not None))


def _swish(node: ir.Node) -> _Swish | None:
    if node.domain != "" or node.op_type not in ("HardSwish", "Mul"):
        return None
    if node.op_type == "HardSwish":
        return None if node.inputs[0] is None else _Swish(node, node.inputs[0], 1 / 6, 0.5, None)
    for x, gated in (node.inputs, node.inputs[::-1]):
        gate = only_producer(gated, node, "HardSigmoid")
        if x is not None and gate is not None and gate.inputs[0] is x:
            return _Swish(node, x, *slope_and_offset(gate), gate)
    return None


def _lower(swish: _Swish, *, useful: bool) -> Change | Refusal | None:
    node, name = swish.node, str(swish.node.name)
    if not useful:
        return Refusal("lower_hard_swishes", name, ONLY_THE_HEAD)
    also = [] if swish.gate is None else [swish.gate]
    root = math.sqrt(swish.alpha) if swish.alpha > 0 else None
    producer = scale_producer(swish.x, [node, *also], root, 0.0) if root else None
    if producer is not None and root:
        graph = owner(node)
        offset = initializer(graph, f"{name}_offset", np.array(swish.beta / root, np.float32))
        line = ir.node("Add", [swish.x, offset], name=f"{name}_line")
        gate = clip(graph, line.outputs[0], 1 / root, f"{name}_gate")
        replace(node, [line, gate, ir.node("Mul", [swish.x, gate.outputs[0]], name=name)], also=also)
        return Change("lower_hard_swishes", name, f"its scale folded into {producer.name}: now Add, Clip and Mul")
    if swish.gate is not None:
        return None  # hard_sigmoid.py lowers the gate
    sigmoid = ir.node("HardSigmoid", [swish.x], {"alpha": swish.alpha, "beta": swish.beta}, name=f"{name}_gate")
    replace(node, [sigmoid, ir.node("Mul", [swish.x, sigmoid.outputs[0]], name=name)])
    return Change("lower_hard_swishes", name, "now x·HardSigmoid(x)")
