"""The whole quantised network learned at once, so that its answer is the float model's: the student of itself.

Source of learning from a teacher's answers alone: Hinton et al., arXiv:1503.02531.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from quantseg.data.heads import Loss
from quantseg.progress import Track
from quantseg.refinement.rounding.learned import objective
from quantseg.refinement.rounding.learned.checkpoint import Progress
from quantseg.refinement.rounding.learned.descent import descend
from quantseg.refinement.rounding.learned.examples import Examples, drawn
from quantseg.refinement.rounding.learned.network import Network
from quantseg.refinement.rounding.learned.weights import Weights

RATE = 0.005
"""How far positions move in the first step, in steps of the grid."""


def distil(
    network: Network,
    weights: Weights,
    names: tuple[str, tuple[str, ...]],
    examples: Examples,
    losses: Sequence[Loss],
    *,
    rounding: str,
    steps: int,
    seed: int,
    done: Progress,
    save: Callable[[Progress], None],
    track: Track,
) -> Weights:
    """The weights after so many steps, one image each; those before, where the steps brought the answer no nearer.

    network: the quantised one. names: of its input and its outputs. losses: of the outputs. done: where an earlier run
    stopped, which began with the same weights. save: called after every step.
    """
    given, outputs = names

    def loss(step: int, parameters: dict[str, tuple[Any, Any]]) -> Any:
        example = examples[drawn(len(examples), seed, step)]
        made = network.run({given: example.x}, outputs, parameters)
        parts = zip(outputs, example.targets, example.weights, losses, strict=True)
        return sum(objective.distance(made[name], *rest) for name, *rest in parts)

    def total(chosen: Weights) -> float:
        parameters = chosen.rounded()
        with torch.no_grad():
            return math.fsum(loss(step, parameters).item() for step in range(len(examples)))

    learned = descend(
        weights,
        weights.positions,
        rounding,
        RATE,
        loss,
        steps,
        done=done,
        save=save,
        track=lambda left: track(left, total=len(left), what="learning the network"),
    )
    return learned if steps and total(learned) < total(weights) else weights
