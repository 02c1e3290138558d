"""Runs the steps of a program on one image; each array is freed after its last use."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.quantization.rounding.requantisation import check
from quantseg.simulation.arithmetic import Call
from quantseg.simulation.arithmetic.processors import EXACT, SimulatedProcessor
from quantseg.simulation.computing import computed
from quantseg.simulation.program import Program
from quantseg.simulation.step import Step

Array = NDArray[Any]


@dataclass(frozen=True)
class TakenStep:
    """An executed step, with its input and output arrays."""

    step: Step
    call: Call
    results: tuple[Array, ...]

    @property
    def named(self) -> tuple[tuple[str, Array], ...]:
        """The outputs that have a name, as (name, array)."""
        return tuple((name, found) for name, found in zip(self.step.outputs, self.results, strict=False) if name)


def run(
    program: Program,
    feeds: Mapping[str, Array],
    *,
    rounding: str = "onnxruntime",
    processor: SimulatedProcessor = EXACT,
    given: Mapping[str, Array] | None = None,
) -> Iterator[TakenStep]:
    """Executes the steps and yields each one. feeds: input → array. rounding: a name in ROUNDINGS.

    processor: the processor whose kernels are simulated. given: arrays that replace computed tensors of the same name
    for all later steps. Raises ModelError with node and shapes where inputs do not fit; PlanError for an unknown
    rounding.
    """
    check(rounding)
    missing = [name for name in program.inputs if name not in feeds]
    if missing:
        raise ModelError(f"input {missing[0]!r} is not fed; the model takes {', '.join(program.inputs)}")
    values: dict[str, Array] = {**program.constants, **feeds}
    left = Counter(name for step in program.steps for name in step.inputs)
    for step in program.steps:
        operands = tuple(values[name] if name else None for name in step.inputs)
        call = Call(operands, step.attributes, program.opset, rounding, sum(map(bool, step.outputs)), processor)
        results = computed(step, call)
        taken = TakenStep(step, call, results)
        for name, found in taken.named:
            values[name] = given[name] if given is not None and name in given else found
        yield taken
        for name in step.inputs:
            left[name] -= 1
            if not left[name] and name not in program.constants:
                values.pop(name, None)


def outputs(
    program: Program,
    feeds: Mapping[str, Array],
    *,
    rounding: str = "onnxruntime",
    processor: SimulatedProcessor = EXACT,
) -> dict[str, Array]:
    """The model's outputs for one set of inputs. Arguments and errors as for `run`."""
    found = {name: feeds[name] for name in program.outputs if name in feeds}
    found |= {name: program.constants[name] for name in program.outputs if name in program.constants}
    for taken in run(program, feeds, rounding=rounding, processor=processor):
        found |= {name: result for name, result in taken.named if name in program.outputs}
    return {name: found[name] for name in program.outputs}
