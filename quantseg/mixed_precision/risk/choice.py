"""Which nodes stay float: the region that takes much of the risk away for little time.

Rounding errors of different tensors are nearly independent, so that the squares of their risks add. A tensor stays
unrounded only where all nodes that make or read it are float. At a given price of risk the best region is a minimum cut
(../minimum_cut.py): a node costs its time in float, a border its conversions, and a risk is paid unless all its nodes
are float. Prices from low to high give a few regions, each the best of its size; what the limits leave over is filled
one tensor at a time.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from quantseg.mixed_precision.minimum_cut import Crossing, CutPart, cheapest
from quantseg.mixed_precision.risk.price import Price

Allowed = Callable[[frozenset[str]], bool]

_WORK_COSTS = (0, 1, 4, 16)
"""What multiply-accumulates cost beside time, where not time but they are scarce; each is tried."""
_RISK_COSTS = tuple(2 ** (step / 2) for step in range(-6, 17))
"""What all risk together costs, over the time of the whole; rising."""
_LEAST = 1e-3
"""The least that a tensor counts as when the rest is filled, as a share of the time: lest all be taken that is free."""


@dataclass(frozen=True)
class Source:
    """A tensor that is rounded. nodes: those that must all be float to leave it alone."""

    name: str
    risk: float
    nodes: frozenset[str]


@dataclass(frozen=True)
class Region:
    """Nodes that are float together, what they add to the time as a share of it, and the risk that remains."""

    nodes: frozenset[str]
    price: float
    risk: float


def float_objective(risk: float, price: float) -> float:
    """Risk times time to the power of 3/2, the less the better: a step pays where the part of the risk that it takes
    away is more than one and a half times the part that it adds to the time."""
    return risk * math.pow(1 + price, 1.5)


def regions(sources: Iterable[Source], price: Price, allowed: Allowed, *, harmless: float) -> tuple[Region, ...]:
    """Regions that are allowed, those most worth their price first; risk counts for nothing below `harmless`.

    allowed: holds for no region that is larger than one it does not hold for. The same for any order of the sources.
    """
    left = tuple(sorted((source for source in sources if source.risk > 0), key=lambda source: source.name))

    def of(nodes: frozenset[str]) -> Region:
        return Region(nodes, price.of_time(nodes), math.sqrt(_squares(s for s in left if not s.nodes <= nodes)))

    def order(found: Region) -> tuple[float, int, list[str]]:
        return float_objective(max(found.risk, harmless), found.price), len(found.nodes), sorted(found.nodes)

    cuts = [of(nodes) for nodes in dict.fromkeys(_cuts(left, price, allowed))]
    filled = map(of, _filled(min(cuts, key=order).nodes, left, price, allowed))
    return tuple(sorted({*cuts, *filled}, key=order))


def _cuts(sources: Sequence[Source], price: Price, allowed: Allowed) -> Iterator[frozenset[str]]:
    """The empty region, and the best ones at rising prices of risk, as far as they are allowed."""
    yield frozenset()
    total, work = price.total, sum(price.macs.values()) or 1
    squares = _squares(sources)
    borders = [Crossing(b.maker, b.readers, b.price, ints) for b in price.borders for ints in (True, False)]
    for work_cost in _WORK_COSTS:
        parts = {
            name: CutPart(as_float=spent + round(work_cost * total * price.macs[name] / work), as_integer=0)
            for name, spent in price.nodes.items()
        }
        for risk_cost in _RISK_COSTS:
            asked = ((s, round(risk_cost * total * s.risk**2 / squares)) for s in sources)
            risks = [Crossing(None, tuple(sorted(s.nodes)), cost, to_integers=True) for s, cost in asked if cost]
            found = frozenset(parts) - cheapest(parts, borders + risks)
            if not allowed(found):
                break
            yield found


def _filled(
    nodes: frozenset[str], sources: Sequence[Source], price: Price, allowed: Allowed
) -> Iterator[frozenset[str]]:
    """Larger and larger regions, each with the tensor that takes away most for its price."""
    while True:
        left = [source for source in sources if not source.nodes <= nodes]
        spent = price.of_time(nodes)

        def value(larger: frozenset[str], spent: float = spent, left: Sequence[Source] = left) -> float:
            taken = _squares(source for source in left if source.nodes <= larger)
            return taken / max(price.of_time(larger) - spent, _LEAST)

        larger = [grown for source in left if allowed(grown := nodes | source.nodes)]
        if not larger:
            return
        nodes = max(larger, key=value)
        yield nodes


def _squares(sources: Iterable[Source]) -> float:
    return math.fsum(source.risk**2 for source in sources)
