"""The walk: from all int8 to the cheapest model within the budget, in a bounded number of real evaluations.

Moves stand in the order in which they pay; a prefix of them is left float. The shortest prefix within the budget is
found by bisection on a logarithmic scale, since a few nodes mostly do most of the harm. With the evaluations that are
left, moves of the prefix go back to int8 one by one, the dearest first, where the budget allows. Where more float never
loses more, the prefix is the shortest, and no single move of the result can be given back. Nothing is random.
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
    """points: all that were evaluated, in that order, each set of nodes once. best: the one to take.

    That is the cheapest within the budget, or, where none is, the one that is least over it.
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
    """Evaluates all in int8, and where that is over the budget, at most `evaluations` points in all.

    moves: the nodes that leave int8 together, the move that pays most first; asked for only where needed. price: what a
    set of float nodes costs, as far as that is known without evaluating it.
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
    """The cheapest point within the budget; where none is, the one that is least over it."""
    held = [point for point in points if budget.holds(point)]
    if held:
        return min(held, key=lambda p: (p.cost, len(p.float_nodes), budget.excess(p), sorted(p.float_nodes)))
    return min(points, key=lambda p: (budget.excess(p), p.cost, sorted(p.float_nodes)))


def union(moves: Iterable[Nodes]) -> Nodes:
    """All nodes of the moves."""
    return frozenset().union(*moves)


def _shortest(steps: Sequence[Nodes], within: Callable[[Nodes], bool], left: Callable[[], int]) -> int:
    """The length of the shortest prefix that was found within the budget; 0 for none.

    As long as none is known, the last evaluation is kept for all moves together: better a slow model than none.
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
    """Tries the prefix without each of its moves but the last, without which it is over the budget."""
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
