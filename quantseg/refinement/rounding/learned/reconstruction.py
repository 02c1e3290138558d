"""Reconstruction: weights are learned part by part, so that each part reproduces its output in the float network.

A part reads the outputs of the quantised parts before it, so it also learns to compensate their errors. Source:
BRECQ, Li et al., arXiv:2102.05426, algorithm 1; with one layer in a part it is AdaRound, arXiv:2004.10568.
"""

from typing import Any

import torch

from quantseg.calibration.context import Context
from quantseg.refinement.rounding.learned import Learning
from quantseg.refinement.rounding.learned.descent import Descent, descend
from quantseg.refinement.rounding.learned.examples import CACHE_BYTES, drawn
from quantseg.refinement.rounding.learned.network import Network
from quantseg.refinement.rounding.learned.parts import LearnedPart
from quantseg.refinement.rounding.learned.task import Task
from quantseg.refinement.rounding.learned.weights import Weights

RATE = 0.02
"""Initial learning rate of weight positions, in steps of the grid."""

State = dict[str, Any]


def reconstruct(
    parts: tuple[LearnedPart, ...], task: Task, weights: Weights, how: Learning, context: Context
) -> Weights:
    """The weights after each part, in order, has been trained for how.iterations steps."""
    if how.iterations == 0:
        return weights
    start = _start(parts, task, weights)
    ours, floats = start, start
    for part in context.track(parts, total=len(parts), what="learn parts"):
        with torch.no_grad():
            floats = [task.plain.run(state, part.carried, nodes=part.plain) for state in floats]
        weights = _learned(part, task.rounded, weights, (ours, floats), how, context.seed)
        with torch.no_grad():
            chosen = weights.rounded(part.learned)
            ours = [task.rounded.run(state, part.carried, chosen, part.nodes) for state in ours]
    return weights


def _start(parts: tuple[LearnedPart, ...], task: Task, weights: Weights) -> list[State]:
    """The inputs of images, evenly spread, as many as both networks' tensors between parts fit in CACHE_BYTES."""
    examples = task.examples
    most, ours = 1, examples.feeds(0)
    floats = ours
    with torch.no_grad():
        for part in parts:
            ours = task.rounded.run(ours, part.carried, weights.rounded(part.learned), part.nodes)
            floats = task.plain.run(floats, part.carried, nodes=part.plain)
            most = max(most, 2 * sum(value.nbytes for value in (*ours.values(), *floats.values())))
    count = max(1, min(len(examples), CACHE_BYTES // most))
    return [examples.feeds(index * len(examples) // count) for index in range(count)]


def _learned(
    part: LearnedPart,
    network: Network,
    weights: Weights,
    states: tuple[list[State], list[State]],
    how: Learning,
    seed: int,
) -> Weights:
    """The weights after one part is trained.

    states: for each image, the tensors that the part reads in the quantised network, and those it writes in the float
    one.
    """
    ours, targets = states

    def loss(step: int, parameters: dict[str, tuple[Any, Any]]) -> Any:
        chosen = drawn(len(ours), seed, step)
        made = network.run(ours[chosen], part.compared, parameters, part.nodes)
        return sum(_relative(value, targets[chosen][name]) for name, value in made.items())

    return descend(weights, part.learned, Descent(RATE, how.iterations), loss)


def _relative(ours: Any, wanted: Any) -> Any:
    return ((ours - wanted) ** 2).mean() / torch.clamp((wanted**2).mean(), min=1e-12)
