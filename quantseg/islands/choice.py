"""Which nodes stay float: the cheapest region that takes most of the risk away.

Rounding errors of different tensors and weights are nearly independent, so that risks add. A tensor stays unrounded
only where all nodes that make or read it are float; so the candidates are the nodes around one tensor, and one is taken
after another by risk over cost, until the budget is spent.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A place that rounds. nodes: those that must all be float for it to be left alone; alone: whether that may be asked.

    A weight is not left alone for its own sake: a float product between rounded tensors is one that onnxruntime (1.31)
    rounds again, by itself and with one scale for the whole weight.
    """

    name: str
    risk: float
    nodes: frozenset[str]
    alone: bool = True


@dataclass(frozen=True)
class Step:
    """A region of float nodes: all of them, their cost, and the risk that remains."""

    nodes: frozenset[str]
    cost: float
    risk: float


def regions(sources: Iterable[Source], cost: Mapping[str, float], budget: float) -> tuple[Step, ...]:
    """Growing regions within the budget, the empty one first. cost: of each node, 0 or more, in the budget's unit."""
    left = sorted((s for s in sources if s.risk > 0), key=lambda s: s.name)
    chosen: frozenset[str] = frozenset()
    steps = [Step(chosen, 0.0, sum(s.risk for s in left))]
    while True:
        best, best_value = None, 0.0
        for candidate in (source for source in left if source.alone):
            new = candidate.nodes - chosen
            spent = sum(cost[name] for name in chosen | new)
            if spent > budget:
                continue
            region = chosen | new
            gain = sum(s.risk for s in left if s.nodes <= region)
            value = gain / (sum(cost[name] for name in new) + 1e-4 * budget + 1e-3 * budget * bool(new))
            if value > best_value:
                best, best_value = region, value
        if best is None:
            return tuple(steps)
        chosen = best
        left = [s for s in left if not s.nodes <= chosen]
        steps.append(Step(chosen, sum(cost[name] for name in chosen), sum(s.risk for s in left)))
