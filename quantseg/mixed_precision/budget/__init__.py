"""Mixed precision under a budget: which nodes to leave float so that the masks lose no more than allowed.

The path: what a node harms and costs (sensitivity, costs) → moves, in the order in which they pay → the walk, which has
points evaluated on real images → the cheapest point within the budget, and the front of those that nothing dominates.
"""

from quantseg.mixed_precision.budget.budget import Budget, read_budget
from quantseg.mixed_precision.budget.moves import Move, moves, ordered
from quantseg.mixed_precision.budget.points import Point, dominates, front
from quantseg.mixed_precision.budget.precisions import PRECISIONS, Precision, candidates
from quantseg.mixed_precision.budget.walk import Nodes, Walk, choose, union, walk

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
