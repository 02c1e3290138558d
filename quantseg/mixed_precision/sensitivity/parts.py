"""Which part of a plan's rounding belongs to which node."""

from collections.abc import Set
from dataclasses import dataclass

import onnx_ir as ir

from quantseg.quantization.fake_quant import rounded_tensors
from quantseg.quantization.operators import IntegerForm, Kind, integer_form
from quantseg.quantization.plan import QuantPlan


@dataclass(frozen=True)
class MeasuredPart:
    """An integer node. weights: whether it has a weight to round. tensors: those that it needs rounded."""

    node: str
    op_type: str
    weights: bool
    tensors: frozenset[str]


def parts_of(model: ir.Model, plan: QuantPlan) -> tuple[MeasuredPart, ...]:
    """The parts of a plan, in the order of the prepared graph.

    A clamp that the saturation of a grid replaces is no part: it belongs to the node before it. A tensor that was only
    moved is rounded where it comes from.
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
    """The tensors whose rounding a tensor shows: itself, or those that it was moved from."""
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
    """What a tensor is once the clamps that its grid replaces have cut it."""
    while dropped := [user for user, _ in value.uses() if user.name in plan.dropped]:
        value = dropped[0].outputs[0]
    return value
