"""Which nodes leave int8 together, and in which order this pays: most harm taken away for least cost.

A node alone in float gains little: the tensor that it writes is rounded all the same where a node reads it in integers,
and weights cost little, activations nearly all. So a move is about a tensor: it is spared its rounding where the nodes
at both its ends are float, and those behind a node that only hands its values on. Such a region has few borders, and
next to one that is float already it costs less.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quantseg.quantization.fake_quant import rounded_tensors
from quantseg.quantization.operators import IntegerForm, Kind, integer_form
from quantseg.quantization.plan import QuantPlan

_HANDING_ON = (Kind.CLAMP, Kind.MOVEMENT, Kind.INTERPOLATION, Kind.JOIN)

BORDER = 1e-3
"""What a region costs beside its nodes, as a share of the cost of all nodes: tensors have to cross to it and back."""

ALONE = 1e-3
"""The part of a node's harm that goes where it alone is float: mostly that of its weight."""


@dataclass(frozen=True)
class Move:
    """nodes: they leave int8 together. sake: the tensor or node that this spares. harm: the noise that it removes."""

    sake: str
    nodes: frozenset[str]
    harm: float


def moves(model: ir.Model, plan: QuantPlan, harms: Mapping[str, float]) -> tuple[Move, ...]:
    """A move for each tensor that the plan rounds, and one for each integer node; none for what does no harm.

    harms: node → the noise that comes from rounding what it reads and writes, on any scale. A tensor's part in that is
    no larger than the least harm of the nodes at its ends.
    """
    integer = frozenset(node.name for node in plan.quantised)
    made = (output for node in model.graph for output in node.outputs)
    values = {value.name: value for value in (*model.graph.inputs, *made)}
    found = []
    for name in rounded_tensors(model, plan):
        before = _makers(values[name], integer)
        behind = _readers(values[name], integer)
        ends = (*before, *(str(user.name) for user, _ in values[name].uses()))
        harm = min((harms[end] for end in ends if end in harms), default=0.0)
        if harm > 0:
            found.append(Move(name, frozenset({*before, *behind}), harm))
    alone = (Move(name, frozenset({name}), ALONE * harm) for name, harm in harms.items() if name in integer)
    return (*found, *(move for move in alone if move.harm > 0))


def ordered(found: Iterable[Move], costs: Mapping[str, float]) -> tuple[Move, ...]:
    """The moves, each time the one that takes away most for what it adds to the cost of those before it.

    costs: node → what it costs to leave it float; nodes that are not in it cost nothing. Left out is a move all of
    whose nodes are float already, and one that would leave no costly node in integers.
    """
    left = sorted(found, key=lambda move: move.sake)
    costly = frozenset(name for name, cost in costs.items() if cost > 0)
    border = BORDER * math.fsum(costs.values()) or 1.0
    taken: list[Move] = []
    done: frozenset[str] = frozenset()

    def rate(move: Move) -> float:
        return move.harm / (border + math.fsum(costs.get(name, 0.0) for name in move.nodes - done))

    while left := [move for move in left if not move.nodes <= done and not costly <= done | move.nodes]:
        best = max(left, key=rate)
        taken.append(best)
        done |= best.nodes
    return tuple(taken)


def _makers(value: ir.Value, integer: frozenset[str], joined: bool = False) -> set[str]:
    """The integer nodes that have rounded the values of the tensor on their way to it, back to a second Concat."""
    node = value.producer()
    if node is None or str(node.name) not in integer:
        return set()
    found, kind = {str(node.name)}, _kind(node)
    if kind in _HANDING_ON and not (joined and kind is Kind.JOIN):
        for source in node.inputs:
            if source is not None and not source.is_initializer():
                found |= _makers(source, integer, joined or kind is Kind.JOIN)
    return found


def _readers(value: ir.Value, integer: frozenset[str], joined: bool = False) -> set[str]:
    """The integer nodes that read the values of the tensor, itself or as others hand them on, up to a second Concat."""
    found: set[str] = set()
    for user, _ in value.uses():
        kind = _kind(user)
        if str(user.name) not in integer or (joined and kind is Kind.JOIN):
            continue
        found.add(str(user.name))
        if kind in _HANDING_ON:
            for output in user.outputs:
                found |= _readers(output, integer, joined or kind is Kind.JOIN)
    return found


def _kind(node: ir.Node) -> Kind | None:
    form = integer_form(node)
    return form.kind if isinstance(form, IntegerForm) else None
