"""Which nodes stay float: the cheapest region that takes most of the risk away.

Rounding errors of different tensors and weights are nearly independent, so that risks add. A tensor stays unrounded
only where all nodes that make or read it are float; so the candidates are the nodes around one tensor, and one is taken
after another by risk over cost, until the budget is spent.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_BORDER = 1e-3
"""What leaving nodes float costs beside their own cost, in budgets: lest all nodes be taken that cost nothing."""


@dataclass(frozen=True)
class Source:
    """A place that rounds. nodes: those that must all be float to leave it alone; alone: whether that may be asked.

    A weight is not left alone for its own sake: a float product between rounded tensors is one that onnxruntime (1.31)
    rounds again, by itself and with one scale for the whole weight.
    """

    name: str
    risk: float
    nodes: frozenset[str]
    alone: bool = True


@dataclass(frozen=True)
class Region:
    """A region of float nodes: all of them, their cost, and the risk that remains."""

    nodes: frozenset[str]
    cost: float
    risk: float


def regions(sources: Iterable[Source], cost: Mapping[str, float], budget: float) -> tuple[Region, ...]:
    """Growing regions within the budget, the empty one first; each holds the one before and leaves less risk.

    cost: of each node, 0 or more, in the budget's unit. The same for any order of the sources.
    """
    border = _BORDER * budget if budget > 0 else 1.0
    left = sorted((source for source in sources if source.risk > 0), key=lambda source: source.name)
    found = [Region(frozenset(), 0.0, math.fsum(source.risk for source in left))]
    while True:
        before = found[-1].nodes
        best, best_value = before, 0.0
        for candidate in (source for source in left if source.alone):
            region = before | candidate.nodes
            spent = math.fsum(cost[name] for name in region)  # exact: a set has no order
            gain = math.fsum(source.risk for source in left if source.nodes <= region)
            value = gain / (spent - found[-1].cost + border)
            if spent <= budget and value > best_value:
                best, best_value = region, value
        if best == before:
            return tuple(found)
        left = [source for source in left if not source.nodes <= best]
        spent = math.fsum(cost[name] for name in best)
        found.append(Region(best, spent, math.fsum(source.risk for source in left)))
