"""Prints a plan: which nodes stay float and why, and the measured latencies."""

from typing import TYPE_CHECKING

from quantseg.cli import console, notes
from quantseg.cli.flags import as_flags

if TYPE_CHECKING:
    from quantseg.quantization.plan import NodeCost, QuantPlan
    from quantseg.quantization.writing import QuantizedModel


def show(made: "QuantizedModel", verbose: bool) -> None:
    """Prints the nodes that stay float, grouped by reason; verbose: also every node, with latencies if measured."""
    from quantseg.report import tables

    plan = made.plan
    if verbose:
        headers, rows = _rows(plan, () if made.fit is None else made.fit.costs)
        console.say(tables.terminal(headers, rows) + "\n")
    kept = [(count, as_flags(reason)) for reason, count in plan.kept_float.items()]
    console.say(f"{len(plan.quantised)} of {len(plan.nodes)} nodes compute in integers")
    if kept:
        console.say("\n" + tables.terminal(("nodes", "stay float because"), kept))
    said = [as_flags(note) for note in made.notes]
    if verbose:
        for note in said:
            console.line(f"note: {note}")
    else:
        notes.show(said, "--verbose lists them, the report too")


def _rows(plan: "QuantPlan", costs: "tuple[NodeCost, ...]") -> "tuple[tuple[str, ...], list[tuple[str | None, ...]]]":
    from quantseg.quantization.plan import KeptFloat

    rows: list[tuple[str | None, ...]] = [
        (n.name, n.op_type, "float", as_flags(n.decision.reason))
        if isinstance(n.decision, KeptFloat)
        else (n.name, n.op_type, "int8", " ".join(filter(None, (n.decision.detail, plan.variants.get(n.name)))))
        for n in plan.nodes
    ]
    headers = ("node", "operator", "computes in", "because")
    if not costs:
        return headers, rows
    times = {cost.node: (_milliseconds(cost.as_float), _milliseconds(cost.as_integer)) for cost in costs}
    timed = [(*row, *times.get(plan.nodes[number].name, (None, None))) for number, row in enumerate(rows)]
    return (*headers, "float ms", "int8 ms"), timed


def _milliseconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
