"""Summary of a plan: settings, rewrites, how many nodes compute in int8, which stay float and why."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantseg.quantization.plan import KeptFloat, QuantPlan


@dataclass(frozen=True)
class KeptGroup:
    """Nodes that stay float for the same reason. operators: operator → number of nodes. nodes: their names."""

    reason: str
    operators: Mapping[str, int]
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class PlanSummary:
    """Summary of a QuantPlan. settings: as in the plan's JSON. lowered: rewrite → how many nodes it changed.

    quantised: operator → how many nodes compute in int8. kept: groups of float nodes, the largest first.
    """

    settings: Mapping[str, Any]
    lowered: Mapping[str, int]
    quantised: Mapping[str, int]
    kept: tuple[KeptGroup, ...]
    notes: tuple[str, ...]


def summarise_plan(plan: QuantPlan) -> PlanSummary:
    """Counts the nodes of a plan."""
    kept: dict[str, list[tuple[str, str]]] = {}
    quantised = Counter[str]()
    for node in plan.nodes:
        if isinstance(node.decision, KeptFloat):
            kept.setdefault(node.decision.reason, []).append((node.op_type, node.name))
        else:
            quantised[node.op_type] += 1
    groups = [
        KeptGroup(reason, _ordered(Counter(operator for operator, _ in nodes)), tuple(name for _, name in nodes))
        for reason, nodes in kept.items()
    ]
    groups.sort(key=lambda group: (-len(group.nodes), group.reason))
    return PlanSummary(
        settings=plan.settings.to_json(),
        lowered=_ordered(Counter(change.split(":")[0] for change in plan.changes)),
        quantised=_ordered(quantised),
        kept=tuple(groups),
        notes=plan.notes,
    )


def _ordered(counts: Counter[str]) -> Mapping[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
