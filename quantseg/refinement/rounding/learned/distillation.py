"""Distillation: the whole quantised network is trained at once to reproduce the float model's outputs.

Source of training on a teacher's outputs: Hinton et al., arXiv:1503.02531.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from quantseg.calibration.context import Context
from quantseg.data.heads import OutputLoss
from quantseg.refinement.rounding.learned import NETWORK_SHARE, Learning, objective
from quantseg.refinement.rounding.learned.descent import Descent, descend
from quantseg.refinement.rounding.learned.examples import drawn
from quantseg.refinement.rounding.learned.task import Task
from quantseg.refinement.rounding.learned.weights import Weights

RATE = 0.005
"""Initial learning rate of weight positions, in steps of the grid."""


def distil(task: Task, weights: Weights, losses: Sequence[OutputLoss], how: Learning, context: Context) -> Weights:
    """The weights after training the whole network for NETWORK_SHARE · how.iterations steps, one image a step.

    Returns the given weights where training does not lower the loss over all examples. losses: one for each output.
    """
    examples, steps = task.examples, NETWORK_SHARE * how.iterations

    def loss(step: int, parameters: dict[str, tuple[Any, Any]]) -> Any:
        example = examples[drawn(len(examples), context.seed, step)]
        made = task.rounded.run(example.feeds, task.outputs, parameters)
        parts = zip(task.outputs, example.targets, example.weights, losses, strict=True)
        return sum(objective.distance(made[name], *rest) for name, *rest in parts)

    def total(chosen: Weights) -> float:
        parameters = chosen.rounded()
        with torch.no_grad():
            return math.fsum(loss(step, parameters).item() for step in range(len(examples)))

    def shown(left: range) -> Iterable[int]:
        return context.track(left, total=len(left), what="learn the network")

    learned = descend(weights, weights.positions, Descent(RATE, steps), loss, track=shown)
    return learned if steps and total(learned) < total(weights) else weights
