"""Float regions: which nodes to leave float, so that much risk is removed for little extra time.

The risk of a tensor is the margin-weighted output error that its rounding causes (margins.py). Rounding errors of
different tensors are nearly independent, so the squares of their risks add. A tensor is not rounded only if all nodes
that write or read it are float. For a given weight of risk against time, the best region is a minimum cut
(../minimum_cut.py): each float node costs its extra time, each tensor on the region's border its conversion, and each
tensor its risk unless all its nodes are float. Rising weights give a few regions of rising size. What the limits then
still allow is added tensor by tensor.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from quantseg.mixed_precision.minimum_cut import Crossing, CutPart, cheapest
from quantseg.mixed_precision.risk.price import Price

Allowed = Callable[[frozenset[str]], bool]

_WORK_COSTS = (0, 1, 4, 16)
"""Weights of float MACs beside time, all tried: the limit on a region may be on MACs rather than on time."""
_RISK_COSTS = tuple(2 ** (step / 2) for step in range(-6, 17))
"""Weights of the total risk, relative to the time of the whole model; rising."""
_LEAST = 1e-3
"""The least price of a tensor when the rest is filled, as a share of the time: else what costs no time always wins."""


@dataclass(frozen=True)
class Limits:
    """What a float region may cost.

    exchange: the risk that has to go for the time of the whole model; see `float_objective`. macs: its largest share of
    the MACs. gain: the largest share of the time that int8 saves, by the fixed rates of price.py, that it may spend.
    least: the time that it may spend anyway, as a share of the model's, since those rates are rough.
    """

    exchange: float = 0.12
    macs: float = 0.15
    gain: float = 0.25
    least: float = 0.1

    def allow(self, nodes: frozenset[str], price: Price) -> bool:
        """Whether a region of these nodes costs no more."""
        most = max(self.gain * price.gain, self.least)
        return price.of_macs(nodes) <= self.macs and price.of_time(nodes) <= most


@dataclass(frozen=True)
class Source:
    """A rounded tensor. risk: of its rounding. nodes: those that must all be float for the tensor not to be rounded."""

    name: str
    risk: float
    nodes: frozenset[str]


@dataclass(frozen=True)
class Region:
    """A float region. nodes: its nodes. price: the time it adds, as a share of the model's. risk: what remains."""

    nodes: frozenset[str]
    price: float
    risk: float


def float_objective(risk: float, price: float, exchange: float) -> float:
    """risk + exchange · price, to be minimised. price: the added time as a share of the model's.

    Risk is about the share of the masks that changes: over four models, mean IoU with float's masks falls by 0.7 to 1.1
    points for every 0.01 of it. At an exchange of 0.12 a point of agreement may cost about a tenth of the time.
    """
    return risk + exchange * price


def regions(sources: Iterable[Source], price: Price, limits: Limits, *, harmless: float) -> tuple[Region, ...]:
    """Float regions within the limits, ordered by `float_objective`, the best first; the empty one is among them.

    harmless: the risk below which less risk is no gain. The result does not depend on the order of the sources.
    """
    left = tuple(sorted((source for source in sources if source.risk > 0), key=lambda source: source.name))

    def of(nodes: frozenset[str]) -> Region:
        return Region(nodes, price.of_time(nodes), math.sqrt(_squares(s for s in left if not s.nodes <= nodes)))

    def order(found: Region) -> tuple[float, int, list[str]]:
        worth = float_objective(max(found.risk, harmless), found.price, limits.exchange)
        return worth, len(found.nodes), sorted(found.nodes)

    def allowed(nodes: frozenset[str]) -> bool:
        return limits.allow(nodes, price)

    cuts = [of(nodes) for nodes in dict.fromkeys(_cuts(left, price, allowed))]
    filled = map(of, _filled(min(cuts, key=order).nodes, left, price, allowed))
    return tuple(sorted({*cuts, *filled}, key=order))


def _cuts(sources: Sequence[Source], price: Price, allowed: Allowed) -> Iterator[frozenset[str]]:
    """The empty region, then the minimum cuts for rising weights of risk, until one is not allowed."""
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
    """Growing regions: each adds the nodes of the tensor that removes most squared risk for the time that it adds."""
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
