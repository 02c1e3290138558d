"""Which weights and tensors that a plan rounds belong to which node."""

from collections.abc import Set
from dataclasses import dataclass

import onnx_ir as ir

from quantseg.quantization.fake_quant import rounded_tensors
from quantseg.quantization.operators import IntegerForm, Kind, integer_form
from quantseg.quantization.plan import QuantPlan


@dataclass(frozen=True)
class MeasuredPart:
    """An integer node. weights: whether it has a weight that is rounded. tensors: the rounded tensors that it reads or
    writes.
    """

    node: str
    op_type: str
    weights: bool
    tensors: frozenset[str]


def parts_of(model: ir.Model, plan: QuantPlan) -> tuple[MeasuredPart, ...]:
    """The integer nodes of a plan, in the order of the prepared graph.

    A clamp that the saturation of its quantization group replaces counts to the node before it. For the output of a
    node that only moves data, the tensor that was moved is the rounded one.
    """
    rounded = frozenset(rounded_tensors(model, plan))
    integer = frozenset(node.name for node in plan.quantised)
    parts = []
    for node in model.graph:
        name, form = str(node.name), integer_form(node)
        if name not in integer or name in plan.dropped or not isinstance(form, IntegerForm):
            continue
        read = [_roundings(node.inputs[index], rounded, integer) for index in form.data]
        written = [_roundings(_clamped(output, plan), rounded, integer) for output in node.outputs]
        parts.append(MeasuredPart(name, node.op_type, name in plan.weights, frozenset().union(*read, *written)))
    return tuple(parts)


def _roundings(value: ir.Value | None, rounded: Set[str], integer: Set[str]) -> frozenset[str]:
    """The rounded tensors that a tensor's values come from: itself, or those from which its values were moved."""
    if value is None:
        return frozenset()
    name, producer = str(value.name), value.producer()
    if name in rounded:
        return frozenset({name})
    form = None if producer is None else integer_form(producer)
    moved = isinstance(form, IntegerForm) and form.kind is Kind.MOVEMENT
    if producer is None or producer.name not in integer or not moved:
        return frozenset()
    assert isinstance(form, IntegerForm)
    return frozenset().union(*(_roundings(producer.inputs[index], rounded, integer) for index in form.data))


def _clamped(value: ir.Value, plan: QuantPlan) -> ir.Value:
    """The tensor behind the clamps that follow a tensor and that its grid's saturation replaces."""
    while dropped := [user for user, _ in value.uses() if user.name in plan.dropped]:
        value = dropped[0].outputs[0]
    return value
