"""Weights learned part by part, so that each part of the quantised network makes what it makes in the float one.

In order: a part reads what the quantised parts before it make, and so learns to make up for their errors. Source:
BRECQ, Li et al., arXiv:2102.05426, algorithm 1; with one weight in a part it is AdaRound, arXiv:2004.10568.
"""

from collections.abc import Callable
from typing import Any

import torch

from quantseg.progress import Track
from quantseg.refinement.rounding.learned.checkpoint import Progress
from quantseg.refinement.rounding.learned.descent import descend
from quantseg.refinement.rounding.learned.examples import CACHE_BYTES, Examples, drawn
from quantseg.refinement.rounding.learned.network import Network
from quantseg.refinement.rounding.learned.parts import Part
from quantseg.refinement.rounding.learned.weights import Weights

RATE = 0.02
"""How far positions move in the first step, in steps of the grid."""

State = dict[str, Any]


def reconstruct(
    parts: tuple[Part, ...],
    networks: tuple[Network, Network],
    weights: Weights,
    input_name: str,
    examples: Examples,
    *,
    rounding: str,
    steps: int,
    seed: int,
    done: Progress,
    save: Callable[[Progress], None],
    track: Track,
) -> Weights:
    """The weights after each part was learned in so many steps.

    networks: the quantised and the float one. done: where an earlier run stopped; its tensors are `weights` already.
    """
    rounded, plain = networks
    if steps == 0 or done.part == len(parts):
        return weights
    start = _start(parts, networks, weights, input_name, examples)
    ours, floats = start, start
    for number, part in enumerate(track(parts, total=len(parts), what="learning parts")):
        with torch.no_grad():
            floats = [plain.run(state, part.carried, nodes=part.plain) for state in floats]
        if number >= done.part:
            weights = _learned(part, rounded, weights, ours, floats, rounding, steps, seed)
            save(Progress(number + 1, 0, weights.tensors()))
        with torch.no_grad():
            ours = [rounded.run(state, part.carried, weights.rounded(part.learned), part.nodes) for state in ours]
    return weights


def _start(
    parts: tuple[Part, ...],
    networks: tuple[Network, Network],
    weights: Weights,
    input_name: str,
    examples: Examples,
) -> list[State]:
    """As many pictures, evenly spread, as there is room for what both networks make of them at the end of any part."""
    rounded, plain = networks
    most, ours = 1, {input_name: examples.picture(0)}
    floats = ours
    with torch.no_grad():
        for part in parts:
            ours = rounded.run(ours, part.carried, weights.rounded(part.learned), part.nodes)
            floats = plain.run(floats, part.carried, nodes=part.plain)
            most = max(most, 2 * sum(value.nbytes for value in (*ours.values(), *floats.values())))
    count = max(1, min(len(examples), CACHE_BYTES // most))
    return [{input_name: examples.picture(index * len(examples) // count)} for index in range(count)]


def _learned(
    part: Part,
    rounded: Network,
    weights: Weights,
    states: list[State],
    targets: list[State],
    rounding: str,
    steps: int,
    seed: int,
) -> Weights:
    def loss(step: int, parameters: dict[str, tuple[Any, Any]]) -> Any:
        chosen = drawn(len(states), seed, step)
        made = rounded.run(states[chosen], part.compared, parameters, part.nodes)
        return sum(_relative(value, targets[chosen][name]) for name, value in made.items())

    return descend(weights, part.learned, rounding, RATE, loss, steps)


def _relative(ours: Any, wanted: Any) -> Any:
    return ((ours - wanted) ** 2).mean() / torch.clamp((wanted**2).mean(), min=1e-12)
