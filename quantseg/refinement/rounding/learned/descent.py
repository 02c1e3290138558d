"""The steps of learning, the same for a part and for the whole network: Adam, with rates that fall to nothing."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch

from quantseg.refinement.rounding.learned.checkpoint import Progress
from quantseg.refinement.rounding.learned.rounding import ROUNDINGS, Rounding
from quantseg.refinement.rounding.learned.weights import Weights

BIAS_RATE = 1e-3
"""The rate of biases at the start, in parts of the largest of a node."""
PENALTY = 0.01
"""How much indecision counts beside the relative error."""

Loss = Callable[[int, dict[str, tuple[Any, Any]]], Any]
"""What a step makes small, from the weights and biases of the nodes."""


def descend(
    weights: Weights,
    names: Iterable[str],
    rounding: str,
    rate: float,
    loss: Loss,
    steps: int,
    *,
    done: Progress | None = None,
    save: Callable[[Progress], None] | None = None,
    track: Callable[[range], Iterable[int]] = iter,
) -> Weights:
    """The weights after so many steps, those of the named nodes and their biases changed.

    rate: how far positions move in a step, in steps of the grid; it falls along half a cosine, since what the last
    steps find has to stay. done: an earlier run that began with the same weights. save: what keeps this one.
    """
    names = tuple(names)
    moving: dict[str, Rounding] = {n: ROUNDINGS[rounding](weights.grids[n], weights.positions[n]) for n in names}
    biases = {n: weights.biases[n].clone().requires_grad_() for n in names if n in weights.biases}
    variables = [*(m.variable for m in moving.values()), *biases.values()]
    groups: list[dict[str, Any]] = [
        {"params": [m.variable for m in moving.values()], "lr": rate * ROUNDINGS[rounding].pace},
        *({"params": [b], "lr": BIAS_RATE * max(float(b.detach().abs().max()), BIAS_RATE)} for b in biases.values()),
    ]
    rates = [group["lr"] for group in groups]
    optimiser = torch.optim.Adam(groups)
    first = 0 if done is None else done.step
    if done is not None and first:
        with torch.no_grad():
            for variable, value in zip(variables, done.variables, strict=True):
                variable.copy_(value)
        optimiser.load_state_dict(done.optimiser)
    for step in track(range(first, steps)):
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
        if save is not None:
            now = [variable.detach() for variable in variables]
            save(Progress(0 if done is None else done.part, step + 1, weights.tensors(), now, optimiser.state_dict()))
    positions = {name: one.settled() for name, one in moving.items()}
    settled = {name: bias.detach() for name, bias in biases.items()}
    return replace(weights, positions={**weights.positions, **positions}, biases={**weights.biases, **settled})
