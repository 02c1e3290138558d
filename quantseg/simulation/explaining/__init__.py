"""The calculation of one output value of one node, step by step: integers in, products, sum, requantisation, result.

Each family of operators is one file, which lists the terms of the sum for a call and an output index. What follows
(bias, multiplier, rounding, clamp, real value) is the same for all operators.
"""

from collections.abc import Callable, Mapping

import numpy as np

from quantseg.errors import ModelError
from quantseg.simulation.arithmetic import Call
from quantseg.simulation.explaining import combinations, products
from quantseg.simulation.explaining.working import Array, Working
from quantseg.simulation.running import TakenStep

EXPLAINERS: Mapping[str, Callable[[str, Call, tuple[int, ...], int], Working]] = {
    **dict.fromkeys(("QLinearConv", "QLinearConvTranspose", "QLinearMatMul", "QGemm"), products.explained),
    "QLinearAdd": combinations.added,
    "QLinearMul": combinations.multiplied,
    "QLinearAveragePool": combinations.averaged,
    "QLinearGlobalAveragePool": combinations.averaged,
    "QLinearSigmoid": combinations.looked_up,
    "QLinearLeakyRelu": combinations.looked_up,
    "QuantizeLinear": combinations.quantised,
}
"""Operator → the function that lists the calculation of one output value."""


def explain(taken: TakenStep, place: tuple[int, ...] | None = None) -> Working:
    """The calculation of one value of a step's output.

    place: its index in the output; None picks the largest value that does not saturate. Raises ModelError where the
    operator does not compute in integers, or the output has no such index.
    """
    op_type, result = taken.step.op_type, taken.results[0]
    if op_type not in EXPLAINERS:
        raise ModelError(
            f"node {taken.step.name!r} is {taken.step.stands_for}, which computes nothing in integers; choose one of "
            f"{', '.join(sorted(EXPLAINERS))}"
        )
    if place is None:
        place = telling(result)
    if len(place) != result.ndim or any(not 0 <= i < n for i, n in zip(place, result.shape, strict=False)):
        raise ModelError(
            f"node {taken.step.name!r} makes {list(result.shape)} and has no value at {list(place)}; give at=… with "
            f"{result.ndim} numbers below these"
        )
    return EXPLAINERS[op_type](op_type, taken.call, place, int(result[place]))


def telling(result: Array) -> tuple[int, ...]:
    """The index of the largest value below its type's maximum; the first of equal values."""
    limit = np.iinfo(result.dtype).max
    ranked = np.where(result < limit, result.astype(np.int64), -(1 << 32))
    return tuple(int(i) for i in np.unravel_index(int(ranked.argmax()), result.shape))


__all__ = ["EXPLAINERS", "Working", "explain"]
