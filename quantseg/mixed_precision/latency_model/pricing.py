"""Turns timings into the parts and crossings of the minimum-cut problem.

The latency model is a sum of times, and inexact in three points: every Concat is priced as plain copies, though one
that requantises its inputs takes longer; nodes that onnxruntime fuses, such as an Add into a float convolution, are
priced apart; and parts are timed with their inputs in the processor's cache. So the finished model gets a speed-up
check as a whole (quantseg.runtimes.speed_check).
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quantseg.mixed_precision.latency_model import trials
from quantseg.mixed_precision.latency_model.stopwatch import Costs
from quantseg.mixed_precision.latency_model.trials import Trial, Way
from quantseg.mixed_precision.latency_model.units import Unit
from quantseg.mixed_precision.minimum_cut import Crossing, CutPart
from quantseg.quantization.operators import IntegerForm, integer_form

_BLOCKED = frozenset(
    {"Add", "AveragePool", "Concat", "Conv", "GlobalAveragePool", "MaxPool", "Mul", "Relu", "Resize", "Sigmoid"}
)
"""Operators that onnxruntime computes in its blocked float layout (NCHWc): between two of them no layout changes."""

_CARRIED = frozenset({"Flatten", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that onnxruntime moves QuantizeLinear in front of and DequantizeLinear behind. On a border they therefore
run in integers whatever the plan says, and in the model's own axis order."""


@dataclass(frozen=True, eq=False)
class UnitChoice:
    """A unit and the trials that time it. in_integers: variant → trial; empty where the unit has to stay float.

    in_float: None where the unit cannot be timed, or has to stay float.
    """

    unit: Unit
    in_float: Trial | None
    in_integers: Mapping[str, Trial]

    @property
    def is_open(self) -> bool:
        """Whether the unit may compute in float or in integers, and can be timed in both."""
        return self.in_float is not None and bool(self.in_integers)

    def best(self, costs: Costs) -> tuple[int, str] | None:
        """Nanoseconds and variant of the fastest integer form; None where the runtime runs none."""
        known = [(cost.work, way) for way, c in self.in_integers.items() if (cost := costs.get(c.key)) is not None]
        return min(known, key=lambda pair: pair[0]) if known else None


def choices(units: tuple[Unit, ...], free: frozenset[str], opset: int, way: Way) -> tuple[UnitChoice, ...]:
    """Each unit with its trials. free: names of the units that may compute in integers."""
    return tuple(
        UnitChoice(unit, trials.in_float(unit, opset), trials.in_integers(unit, opset, way))
        if unit.name in free
        else UnitChoice(unit, None, {})
        for unit in units
    )


def to_time(found: tuple[UnitChoice, ...], way: Way) -> tuple[Trial, ...]:
    """All trials that a placement needs: open units in float and in integers, and conversions of the tensors beside."""
    wanted: list[Trial] = []
    for choice in found:
        if choice.is_open and choice.in_float is not None:
            wanted += [choice.in_float, *choice.in_integers.values()]
            for value in dict.fromkeys((*integer_data(choice.unit), *choice.unit.results)):
                wanted += _crossings(value, way) or ()
    return tuple(wanted)


def part(choice: UnitChoice, costs: Costs, makers: Mapping[ir.Value, Unit]) -> CutPart:
    """The cost of an open unit in float and in integers; in float with the changes of layout that it always needs."""
    assert choice.in_float is not None
    measured, fastest = costs[choice.in_float.key], choice.best(costs)
    if measured is None or fastest is None:
        return CutPart(0, None)
    as_float = measured.work
    if not all(_is_blocked(makers.get(value)) for value in choice.unit.data):
        as_float += measured.before
    if not all(_read_blocked(value) for value in choice.unit.results):
        as_float += measured.after
    return CutPart(as_float, fastest[0])


def crossings(found: tuple[UnitChoice, ...], costs: Costs, way: Way, makers: Mapping[ir.Value, Unit]) -> list[Crossing]:
    """The price of quantising and of dequantising each float tensor, where a placement may need that."""
    by_unit = {choice.unit.name: choice for choice in found}
    readers: dict[ir.Value, list[UnitChoice]] = {}
    for choice in found:
        for value in choice.unit.data:
            readers.setdefault(value, []).append(choice)
    made = [value for choice in found for value in choice.unit.results if value.dtype == ir.DataType.FLOAT]
    result: list[Crossing] = []
    for value in dict.fromkeys((*readers, *made)):
        priced = _prices(value, costs, way)
        if priced is None:
            continue
        maker = by_unit[makers[value].name] if value in makers else None
        result += _of_tensor(value, maker, readers.get(value, []), priced, costs)
    return result


def is_fused(choice: UnitChoice, costs: Costs, integer: Container[str], makers: Mapping[ir.Value, Unit]) -> bool:
    """Whether onnxruntime would compute a unit in integers though it is placed in float.

    It does where all operands come from integer units and all results go to integer units: it fuses the conversions
    around a single float node without weights into the integer kernel.
    """
    unit, form = choice.unit, integer_form(choice.unit.nodes[0])
    if (
        unit.name in integer
        or choice.best(costs) is None
        or not isinstance(form, IntegerForm)
        or form.weight is not None
    ):
        return False
    operands = [unit.nodes[0].inputs[index] for index in form.data]
    readers = [user for value in unit.results for user, _ in value.uses()]
    return (
        all(value in makers and makers[value].name in integer for value in operands if value is not None)
        and all(str(user.name) in integer for user in readers)
        and not any(value.is_graph_output() for value in unit.results)
    )


def integer_data(unit: Unit) -> tuple[ir.Value, ...]:
    """The tensors that the unit reads as integers if it computes in integers."""
    form = integer_form(unit.nodes[0])
    if not isinstance(form, IntegerForm):
        return ()
    read = (unit.nodes[0].inputs[index] for index in form.data)
    return tuple(dict.fromkeys(value for value in read if value is not None and not value.is_initializer()))


def _of_tensor(
    value: ir.Value, maker: UnitChoice | None, readers: list[UnitChoice], prices: tuple[int, int], costs: Costs
) -> list[Crossing]:
    """The crossings of one tensor: quantised once for all integer readers, dequantised once for all float readers."""
    name = None if maker is None else maker.unit.name
    integer = tuple(c.unit.name for c in readers if value in integer_data(c.unit))
    outside = (None,) if value.is_graph_output() else ()
    quantise, dequantise = prices
    floats = (*(c.unit.name for c in readers), *outside)
    blocked = maker is not None and _read_blocked(value)
    result = [
        Crossing(name, integer, quantise + (_layout(maker, costs)[1] if blocked else 0), to_integers=True),
        Crossing(name, floats, dequantise, to_integers=False),
    ]
    if maker is not None and _is_carried(maker, costs):
        result.append(Crossing(name, integer, None, to_integers=True))
    if carried := tuple(c.unit.name for c in readers if _is_carried(c, costs)):
        result.append(Crossing(name, carried, None, to_integers=False))
    laid_out = [(c.unit.name, _layout(c, costs)[0]) for c in readers] if _is_blocked_choice(maker) else []
    dearest = max((cost for _, cost in laid_out), default=0)
    if dearest:
        result.append(Crossing(name, tuple(n for n, cost in laid_out if cost), dearest, to_integers=False))
    return result


def _is_carried(choice: UnitChoice, costs: Costs) -> bool:
    return choice.unit.op_type in _CARRIED and choice.is_open and choice.best(costs) is not None


def _layout(choice: UnitChoice | None, costs: Costs) -> tuple[int, int]:
    """Nanoseconds of the changes of layout before and after the float unit."""
    measured = None if choice is None or choice.in_float is None else costs.get(choice.in_float.key)
    return (0, 0) if measured is None else (measured.before, measured.after)


def _prices(value: ir.Value, costs: Costs, way: Way) -> tuple[int, int] | None:
    found = _crossings(value, way)
    known = [costs.get(candidate.key) for candidate in found or ()]
    if len(known) < 2 or known[0] is None or known[1] is None:
        return None
    return known[0].work, known[1].work


def _crossings(value: ir.Value, way: Way) -> tuple[Trial, Trial] | None:
    return trials.crossings(value, way) if value.dtype == ir.DataType.FLOAT else None


def _is_blocked(unit: Unit | None) -> bool:
    return unit is not None and unit.op_type in _BLOCKED


def _is_blocked_choice(choice: UnitChoice | None) -> bool:
    return choice is not None and _is_blocked(choice.unit)


def _read_blocked(value: ir.Value) -> bool:
    """Whether all readers take the tensor in the blocked layout in which a float convolution writes it."""
    return not value.is_graph_output() and all(user.op_type in _BLOCKED for user, _ in value.uses())
