"""The optimisation loop for a part and for the whole network: Adam, with learning rates that fall to zero."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from quantseg.refinement.rounding.learned.rounding import StraightThrough
from quantseg.refinement.rounding.learned.weights import Weights

BIAS_RATE = 1e-3
"""Initial learning rate of a bias, relative to its largest element."""

Loss = Callable[[int, dict[str, tuple[Any, Any]]], Any]
"""(step, node → (weight, bias)) → the loss that the step minimises."""


@dataclass(frozen=True)
class Descent:
    """Settings of the loop. steps: of the optimiser.

    rate: initial learning rate of weight positions, in steps of the grid. It falls along half a cosine, so that the
    roundings are settled at the end.
    """

    rate: float
    steps: int


def descend(
    weights: Weights,
    names: Iterable[str],
    how: Descent,
    loss: Loss,
    *,
    track: Callable[[range], Iterable[int]] = iter,
) -> Weights:
    """The weights after `how.steps` steps that change the weights and biases of the named nodes."""
    names, steps = tuple(names), how.steps
    moving = {n: StraightThrough(weights.grids[n], weights.positions[n]) for n in names}
    biases = {n: weights.biases[n].clone().requires_grad_() for n in names if n in weights.biases}
    groups: list[dict[str, Any]] = [
        {"params": [m.variable for m in moving.values()], "lr": how.rate},
        *({"params": [b], "lr": BIAS_RATE * max(float(b.detach().abs().max()), BIAS_RATE)} for b in biases.values()),
    ]
    rates = [group["lr"] for group in groups]
    optimiser = torch.optim.Adam(groups)
    for step in track(range(steps)):
        for group, start in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = start * 0.5 * (1 + math.cos(math.pi * step / steps))
        total = loss(step, {n: (m.weight(), biases.get(n)) for n, m in moving.items()})
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        with torch.no_grad():
            for one in moving.values():
                one.keep_inside()
    positions = {name: one.settled() for name, one in moving.items()}
    settled = {name: bias.detach() for name, bias in biases.items()}
    return replace(weights, positions={**weights.positions, **positions}, biases={**weights.biases, **settled})
