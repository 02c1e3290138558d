"""Placement: which nodes compute in float and which in integers, and in which variant, for the least total latency."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quantseg.mixed_precision import minimum_cut as cut
from quantseg.mixed_precision.latency_model import pricing
from quantseg.mixed_precision.latency_model.pricing import UnitChoice
from quantseg.mixed_precision.latency_model.stopwatch import Costs
from quantseg.mixed_precision.latency_model.trials import Way
from quantseg.mixed_precision.latency_model.units import Unit
from quantseg.mixed_precision.minimum_cut import Crossing, CutPart
from quantseg.quantization.operators import IntegerForm, KeptFloat, Kind
from quantseg.quantization.plan import NodeCost, Overrides
from quantseg.quantization.plan.decisions import ONLY_THE_HEAD, Decisions, leading_to_product

FASTER = "float is faster here, its borders included"
"""The reason of a node that stays float though it has an integer form; the times are in `NodeCost`."""


@dataclass(frozen=True)
class Placed:
    """A placement by measured times, and the times themselves.

    overrides: the placement. by_rule: the placement that the rules make, with the same variants. costs: of each node
    that was timed. unmeasured: how many nodes could not be timed alone, since their sizes or their integer form depend
    on other nodes; the rules place these.
    """

    overrides: Overrides
    by_rule: Overrides
    costs: tuple[NodeCost, ...]
    unmeasured: int


def place(
    found: tuple[UnitChoice, ...], wanted: Decisions, ruled: Decisions, costs: Costs, way: Way, *, latency_first: bool
) -> Placed:
    """The placement of least total time by these costs.

    wanted: the decisions with every possible integer form; ruled: those of the rules, which hold for nodes that cannot
    be timed. latency_first: nodes behind the last integer product may also compute in integers, which rounds the output
    head once more; otherwise they stay float for accuracy.
    """
    by_name = {str(node.name): node for node in wanted}
    is_ruled = {str(node.name): isinstance(form, IntegerForm) for node, form in ruled.items()}
    makers = {value: choice.unit for choice in found for value in choice.unit.results}
    parts: dict[str, CutPart] = {}
    for choice in found:
        name = choice.unit.name
        if choice.is_open:
            parts[name] = pricing.part(choice, costs, makers)
        else:
            free = isinstance(wanted[by_name[name]], IntegerForm)
            parts[name] = CutPart(None, 0) if free and is_ruled[name] else CutPart(0, None)
    crossings = pricing.crossings(found, costs, way, makers)
    opened = [choice for choice in found if choice.is_open]
    as_timed = dict(parts)
    tied: set[str] = set()
    while True:
        integer = cut.cheapest(parts, crossings)
        answers = set() if latency_first else _answers(opened, integer, found, wanted, by_name)
        islands = {c.unit.name for c in opened if pricing.is_fused(c, costs, integer, makers)} - tied
        islands = {name for name in islands if as_timed[name].as_integer is not None}
        if not answers and not islands:
            break
        tied |= answers
        parts |= {name: CutPart(None, as_timed[name].as_integer) for name in islands}
        parts |= {name: CutPart(as_timed[name].as_float, None) for name in answers}
    kept = {
        str(node.name): _reason(choice, tied, costs)
        for choice in opened
        if choice.unit.name not in integer
        for node in choice.unit.nodes
    }
    computed = [choice for choice in opened if choice.unit.name in integer]
    overrides = Overrides(
        kept_float=kept,
        integer=frozenset(str(node.name) for choice in computed for node in choice.unit.nodes),
        variants={choice.unit.name: best for choice in computed if (best := _variant(choice, costs))},
    )
    unmeasured = sum(
        not choice.is_open and isinstance(wanted[by_name[choice.unit.name]], IntegerForm) for choice in found
    )
    by_rule = Overrides(
        kept_float={
            str(node.name): _reason(choice, set(), costs)
            for choice in opened
            if choice.in_integers and choice.best(costs) is None
            for node in choice.unit.nodes
        },
        variants={choice.unit.name: best for choice in opened if (best := _variant(choice, costs))},
    )
    return Placed(overrides, by_rule, tuple(_priced(opened, integer, parts, crossings, costs)), unmeasured)


def _answers(
    opened: list[UnitChoice],
    integer: frozenset[str],
    found: tuple[UnitChoice, ...],
    wanted: Decisions,
    by_name: Mapping[str, ir.Node],
) -> set[str]:
    """The integer units that would round the output head for nothing: no integer product follows them."""
    sides = {str(node.name): choice.unit.name in integer for choice in found for node in choice.unit.nodes}
    decisions: Decisions = {
        node: form if sides.get(str(node.name)) else KeptFloat(FASTER) for node, form in wanted.items()
    }
    leading = leading_to_product(decisions)

    def rounds(unit: Unit) -> bool:
        for node in (by_name[str(node.name)] for node in unit.nodes):
            form = wanted[node]
            if isinstance(form, IntegerForm) and form.kind is not Kind.PRODUCT and not form.is_exact:
                return node not in leading
        return False

    return {choice.unit.name for choice in opened if choice.unit.name in integer and rounds(choice.unit)}


def _reason(choice: UnitChoice, tied: set[str], costs: Costs) -> str:
    op_type = choice.unit.op_type
    if choice.in_float is None or costs[choice.in_float.key] is None:
        return f"{op_type}: it could not be timed alone"
    if choice.best(costs) is None:
        return f"{op_type}: this onnxruntime has no kernel for its integer form"
    return f"{op_type}: {ONLY_THE_HEAD}" if choice.unit.name in tied else FASTER


def _variant(choice: UnitChoice, costs: Costs) -> str:
    best = choice.best(costs)
    return "" if best is None else best[1]


def _priced(
    opened: list[UnitChoice],
    integer: frozenset[str],
    parts: Mapping[str, CutPart],
    crossings: list[Crossing],
    costs: Costs,
) -> list[NodeCost]:
    total = cut.price(parts, crossings, integer)
    result = []
    for choice in opened:
        name = choice.unit.name
        is_integer = name in integer
        own = parts[name].as_integer if is_integer else parts[name].as_float
        flipped = cut.price(parts, crossings, integer ^ {name})
        assert own is not None
        assert total is not None
        here = own * 1e-6
        there = None if flipped is None else (own + flipped - total) * 1e-6
        as_float, as_integer = (there, here) if is_integer else (here, there)
        result.append(NodeCost(name, as_float, as_integer, is_integer, _variant(choice, costs) if is_integer else ""))
    return result
