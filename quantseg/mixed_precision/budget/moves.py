"""Moves of the search: which nodes become float together, ordered by the noise that this removes for its cost.

A single node in float gains little: most noise comes from activations, not weights, and the node's output tensor is
still rounded where an integer node reads it. So a move is about a tensor: the nodes that write and read it become float
together, so that it is no longer rounded; where a clamp, a resize, a concatenation or data movement passes its values
on, also the nodes beyond. Such a region has few borders, and it costs less next to a region that is float already.
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
"""The cost of a region's conversions at its borders, as a share of the cost of all nodes."""

ALONE = 1e-3
"""The share of a node's noise that is removed if it alone is float: mostly that of its weight."""


@dataclass(frozen=True)
class Move:
    """nodes: those that become float together. sake: the tensor or node not rounded then. removed: noise removed."""

    sake: str
    nodes: frozenset[str]
    removed: float


def moves(model: ir.Model, plan: QuantPlan, noise: Mapping[str, float]) -> tuple[Move, ...]:
    """A move for each tensor that the plan rounds and for each integer node; none where there is no noise to remove.

    noise: node → the noise from rounding the tensors that it reads and writes, on any scale. A tensor's own noise is
    estimated as the least of the nodes that write or read it, which is an upper bound.
    """
    integer = frozenset(node.name for node in plan.quantised)
    made = (output for node in model.graph for output in node.outputs)
    values = {value.name: value for value in (*model.graph.inputs, *made)}
    found = []
    for name in rounded_tensors(model, plan):
        before = _makers(values[name], integer)
        behind = _readers(values[name], integer)
        ends = (*before, *(str(user.name) for user, _ in values[name].uses()))
        removed = min((noise[end] for end in ends if end in noise), default=0.0)
        if removed > 0:
            found.append(Move(name, frozenset({*before, *behind}), removed))
    alone = (Move(name, frozenset({name}), ALONE * removed) for name, removed in noise.items() if name in integer)
    return (*found, *(move for move in alone if move.removed > 0))


def ordered(found: Iterable[Move], costs: Mapping[str, float]) -> tuple[Move, ...]:
    """The moves in greedy order: each removes most noise for the cost that it adds to the moves before it.

    costs: node → the cost of leaving it float; nodes that are missing cost nothing. Left out are moves all of whose
    nodes are float already, and moves after which every node with a cost would be float.
    """
    left = sorted(found, key=lambda move: move.sake)
    costly = frozenset(name for name, cost in costs.items() if cost > 0)
    border = BORDER * math.fsum(costs.values()) or 1.0
    taken: list[Move] = []
    done: frozenset[str] = frozenset()

    def rate(move: Move) -> float:
        return move.removed / (border + math.fsum(costs.get(name, 0.0) for name in move.nodes - done))

    while left := [move for move in left if not move.nodes <= done and not costly <= done | move.nodes]:
        best = max(left, key=rate)
        taken.append(best)
        done |= best.nodes
    return tuple(taken)


def _makers(value: ir.Value, integer: frozenset[str], joined: bool = False) -> set[str]:
    """Integer nodes that write the tensor, and those before nodes that pass values on, through at most one Concat."""
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
    """Integer nodes that read the tensor, and those behind nodes that pass values on, through at most one Concat."""
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
