"""Tanh after a convolution as Sigmoid, which has an integer kernel.

    tanh(x) = 2·σ(2x) − 1
The inner factor 2 is folded into the weights that produce x; 2·σ − 1 becomes a 1x1 depthwise Conv, or a Mul and an Add
where there are no channels. Nothing is lost: the grid of σ spans just [0, 1], as that of Tanh would span [−1, 1].
"""

import onnx_ir as ir

from quantseg.graph.edit import owner, replace
from quantseg.graph.passes.hard_sigmoid import line, scale_producer
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome, outcome_of
from quantseg.graph.passes.reach import ONLY_THE_HEAD, leading_to_product


def lower_tanhs(model: ir.Model) -> RewriteOutcome:
    """Rewrites every Tanh of the main graph after one convolution and before another. Needs inferred shapes."""
    useful = leading_to_product(model.graph)
    found = [node for node in model.graph if node.op_type == "Tanh" and node.domain == ""]
    return outcome_of(*(_lower(node, useful=node in useful) for node in found))


def _lower(node: ir.Node, *, useful: bool) -> Change | Refusal:
    name, x = str(node.name), node.inputs[0]
    if not useful:
        return Refusal("lower_tanhs", name, ONLY_THE_HEAD)
    producer = scale_producer(x, [node], 2.0, 0.0) if x is not None else None
    if producer is None:
        return Refusal("lower_tanhs", name, "no integer kernel in onnxruntime, and no convolution of its own before it")
    sigmoid = ir.node("Sigmoid", [x], name=f"{name}_sigmoid")
    sigmoid.outputs[0].shape, sigmoid.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
    outside = line(owner(node), sigmoid.outputs[0], 2.0, -1.0, name)
    outside[-1].name = name
    replace(node, [sigmoid, *outside])
    return Change("lower_tanhs", name, f"its scale folded into {producer.name}: now a Sigmoid")
