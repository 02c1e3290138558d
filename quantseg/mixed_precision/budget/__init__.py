"""Mixed-precision search under an accuracy budget: which nodes to leave float so that the masks stay within it.

Sensitivity and cost of each node (weighing) → moves, groups of nodes that become float together, ordered by noise
removed per cost (moves) → the walk, which evaluates a bounded number of models on real images (walk) → the cheapest
point within the budget, and the Pareto front of all points (points).
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
