"""Noise of each node, by sensitivity, and its cost in float, by MACs or by the measured times of the model's parts."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quantseg.calibration.context import Context
from quantseg.data import Subset
from quantseg.data.heads import head_of
from quantseg.graph.preparation import Prepared
from quantseg.mixed_precision import latency_model as costs
from quantseg.mixed_precision import sensitivity
from quantseg.mixed_precision.budget.walk import Nodes
from quantseg.mixed_precision.latency_model import Bench
from quantseg.mixed_precision.sensitivity import Loss
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.plan import QuantPlan
from quantseg.runtimes.macs import Given, multiply_accumulates

NOISE_IMAGES = 2
"""Calibration images on which the nodes' noise is measured; few are enough, since it only orders the nodes."""

MACS, TIME = "share of the multiply-accumulates in float", "milliseconds, by the times of the parts"


@dataclass(frozen=True)
class Costs:
    """The cost of float nodes, in `unit`.

    nodes: node → the cost that it adds as the only float node. whole: (float nodes, plan) → the cost of the model.
    """

    unit: str
    nodes: Mapping[str, float]
    whole: Callable[[Nodes, QuantPlan], float]


def by_macs(shares: Mapping[str, float]) -> Costs:
    """Costs as shares of the MACs in float, the same on every machine. shares: of each node."""
    return Costs(MACS, shares, lambda _, decided: 1 - in_int8(decided, shares))


def by_time(candidate: Candidate, shapes: Mapping[str, tuple[int, ...]], bench: Bench) -> Costs:
    """Costs in milliseconds on this machine, by the measured times of the model's parts. shapes: of its inputs."""
    known = costs.estimate(candidate, shapes, bench)
    return Costs(TIME, known.nodes(), lambda nodes, _: known.milliseconds(nodes))


def work_shares(prepared: Prepared, given: Given) -> Mapping[str, float]:
    """Node → its share of the MACs; 0 for all but convolutions and products. given: the model's inputs."""
    macs = multiply_accumulates(prepared, given)
    total = sum(macs.values()) or 1
    return {node: count / total for node, count in macs.items()}


def in_int8(decided: QuantPlan, shares: Mapping[str, float]) -> float:
    """The share of multiply-accumulates that a plan computes in int8."""
    return math.fsum(shares.get(node.name, 0.0) for node in decided.quantised)


def noise_of_nodes(candidate: Candidate, context: Context) -> Mapping[str, float]:
    """Node → the output noise if it alone is quantised, over the signal; for outputs of class ids the share of flips.

    Measured on at most NOISE_IMAGES of the context's data (the calibration images), evenly spread.
    """
    images = context.data
    count = len(images.names)
    taken = min(count, NOISE_IMAGES)
    few = Subset(images, tuple(number * count // taken for number in range(taken)))
    measured = sensitivity.measure(candidate, few, context, left_float=False)
    is_numbers = head_of(candidate.model.recipe.output).gives_numbers
    return {node.node: _noise(node.alone) if is_numbers else node.alone.flipped for node in measured.nodes}


def _noise(loss: Loss) -> float:
    """Noise over signal; 0 where nothing differs, at most 10^10 where SQNR is −inf."""
    return 10 ** (-max(loss.sqnr_db, -100.0) / 10)
