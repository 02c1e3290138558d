"""Mixed precision under a budget: which nodes to leave float so that the masks lose no more than allowed.

The path: what a node harms and costs (sensitivity, costs) → moves, in the order in which they pay → the walk, which has
points evaluated on real images → the cheapest point within the budget, and the front of those that nothing dominates.
"""

from quantseg.search.budget import Budget, read_budget
from quantseg.search.moves import Move, moves, ordered
from quantseg.search.points import Point, dominates, front
from quantseg.search.precisions import PRECISIONS, Precision, candidates
from quantseg.search.walk import Nodes, Walk, choose, union, walk

__all__ = [
    "PRECISIONS",
    "Budget",
    "Move",
    "Nodes",
    "Point",
    "Precision",
    "Walk",
    "candidates",
    "choose",
    "dominates",
    "front",
    "moves",
    "ordered",
    "read_budget",
    "union",
    "walk",
]
