"""The walk: from all int8 to the cheapest model within the budget, in a bounded number of real evaluations.

Moves are ordered by noise removed per cost, and a prefix of them is left float. The shortest prefix within the budget
is found by bisection on a logarithmic scale, since mostly few nodes cause most of the noise. With the evaluations that
remain, single moves of the prefix are returned to int8, the most expensive first, where the budget allows. If more
float never loses more, the prefix is the shortest, and given enough evaluations no single move of the result can be
returned. Nothing is random.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from quantseg.mixed_precision.budget.budget import Budget
from quantseg.mixed_precision.budget.points import Point

Nodes = frozenset[str]
ALL_INT8: Nodes = frozenset()


@dataclass(frozen=True)
class Walk:
    """points: all evaluated models in order of evaluation, each set of float nodes once. best: the choice of `choose`.

    is_met: whether best is within the budget.
    """

    points: tuple[Point, ...]
    best: Point
    is_met: bool


def walk(
    evaluate: Callable[[Nodes], Point],
    budget: Budget,
    moves: Callable[[], Sequence[Nodes]],
    price: Callable[[Nodes], float],
    *,
    evaluations: int,
) -> Walk:
    """Evaluates the model all in int8 and, if that is over the budget, at most `evaluations` points in all.

    evaluate: evaluates the model with these nodes float. moves: gives sets of nodes that become float together, the
    best move first; called only where needed. price: estimated cost of a set of float nodes, without an evaluation.
    """
    seen: dict[Nodes, Point] = {}

    def within(nodes: Nodes) -> bool:
        if nodes not in seen:
            seen[nodes] = evaluate(nodes)
        return budget.holds(seen[nodes])

    def left() -> int:
        return evaluations - len(seen)

    if not within(ALL_INT8):
        steps = tuple(moves())
        if found := _shortest(steps, within, left):
            _give_back(steps[:found], within, left, price)
    points = tuple(seen.values())
    best = choose(points, budget)
    return Walk(points, best, budget.holds(best))


def choose(points: Sequence[Point], budget: Budget) -> Point:
    """The cheapest point within the budget; if there is none, the point that is least over it."""
    held = [point for point in points if budget.holds(point)]
    if held:
        return min(held, key=lambda p: (p.cost, len(p.float_nodes), budget.excess(p), sorted(p.float_nodes)))
    return min(points, key=lambda p: (budget.excess(p), p.cost, sorted(p.float_nodes)))


def union(moves: Iterable[Nodes]) -> Nodes:
    """The nodes of all moves."""
    return frozenset().union(*moves)


def _shortest(steps: Sequence[Nodes], within: Callable[[Nodes], bool], left: Callable[[], int]) -> int:
    """The length of the shortest prefix of moves that was found within the budget; 0 for none.

    If none is found before the last evaluation, that evaluates all moves together: better a slow model than none.
    """
    short, enough = 0, len(steps) + 1
    while enough - short > 1 and left() > 0:
        middle = math.isqrt((short + 1) * (enough + 1)) - 1
        length = min(max(middle, short + 1), enough - 1)
        if enough > len(steps) and left() == 1:
            length = len(steps)
        if within(union(steps[:length])):
            enough = length
        else:
            short = length
    return enough if enough <= len(steps) else 0


def _give_back(
    steps: Sequence[Nodes],
    within: Callable[[Nodes], bool],
    left: Callable[[], int],
    price: Callable[[Nodes], float],
) -> None:
    """Returns single moves of the prefix to int8 where the budget allows; not the last, which the budget needs."""
    kept = dict(enumerate(steps))

    def without(number: int) -> Nodes:
        return union(nodes for other, nodes in kept.items() if other != number)

    whole = price(union(steps))
    savings = {number: whole - price(without(number)) for number in range(len(steps) - 1)}
    for number in sorted(savings, key=lambda number: (-savings[number], number)):
        if left() < 1:
            break
        if price(without(number)) < price(union(kept.values())) and within(without(number)):
            del kept[number]
