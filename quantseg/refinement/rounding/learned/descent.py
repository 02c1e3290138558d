"""The steps of learning, the same for a part and for the whole network: Adam, with rates that fall to nothing."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from quantseg.refinement.rounding.learned.rounding import ROUNDINGS, Rounding
from quantseg.refinement.rounding.learned.weights import Weights

BIAS_RATE = 1e-3
"""The rate of biases at the start, in parts of the largest of a node."""
PENALTY = 0.01
"""How much indecision counts beside the relative error."""

Loss = Callable[[int, dict[str, tuple[Any, Any]]], Any]
"""What a step makes small, from the weights and biases of the nodes."""


@dataclass(frozen=True)
class Descent:
    """rounding: one of ROUNDINGS. rate: how far positions move in the first step, in steps of the grid.

    It falls along half a cosine, since what the last steps find has to stay.
    """

    rounding: str
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
    """The weights after so many steps, those of the named nodes and their biases changed."""
    names, kind, steps = tuple(names), ROUNDINGS[how.rounding], how.steps
    moving: dict[str, Rounding] = {n: kind(weights.grids[n], weights.positions[n]) for n in names}
    biases = {n: weights.biases[n].clone().requires_grad_() for n in names if n in weights.biases}
    groups: list[dict[str, Any]] = [
        {"params": [m.variable for m in moving.values()], "lr": how.rate * kind.pace},
        *({"params": [b], "lr": BIAS_RATE * max(float(b.detach().abs().max()), BIAS_RATE)} for b in biases.values()),
    ]
    rates = [group["lr"] for group in groups]
    optimiser = torch.optim.Adam(groups)
    for step in track(range(steps)):
        for group, start in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = start * 0.5 * (1 + math.cos(math.pi * step / steps))
        undecided = sum(m.penalty(step / steps) for m in moving.values()) / len(names)
        total = loss(step, {n: (m.weight(), biases.get(n)) for n, m in moving.items()}) + PENALTY * undecided
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        with torch.no_grad():
            for one in moving.values():
                one.keep_inside()
    positions = {name: one.settled() for name, one in moving.items()}
    settled = {name: bias.detach() for name, bias in biases.items()}
    return replace(weights, positions={**weights.positions, **positions}, biases={**weights.biases, **settled})
