"""Compares the simulator's tensors with those of another computation, in execution order."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray

from quantseg.simulation.difference import Difference, difference
from quantseg.simulation.program import Program
from quantseg.simulation.running import TakenStep

Array = NDArray[Any]


@dataclass(frozen=True)
class Judgement:
    """What was compared and what differs. Judgements of several tensors or images add up with +.

    integers: compared tensors that integer operators, or operators that only move values, made; floats: those of float
    operators. values: how many integer values were compared, over all images. differences: tensor → how it differs.
    outputs: the same for the outputs of a run of the original model, without inner tensors as outputs (which may stop
    a runtime from fusing nodes). whole: whether there was such a run.
    """

    integers: frozenset[str] = frozenset()
    floats: frozenset[str] = frozenset()
    values: int = 0
    differences: Mapping[str, Difference] = field(default_factory=dict)
    outputs: Mapping[str, Difference] = field(default_factory=dict)
    whole: bool = False

    def __add__(self, other: "Judgement") -> "Judgement":
        """What either compared."""
        return Judgement(
            self.integers | other.integers,
            self.floats | other.floats,
            self.values + other.values,
            _merged(self.differences, other.differences),
            _merged(self.outputs, other.outputs),
            self.whole or other.whole,
        )

    def in_order(self, program: Program, *, integer: bool) -> tuple[Difference, ...]:
        """The differences in execution order: those of integer operators, or those of float operators."""
        order = {tensor: i for i, step in enumerate(program.steps) for tensor in step.outputs}
        found = (one for one in self.differences.values() if one.integer == integer)
        return tuple(sorted(found, key=lambda one: order[one.tensor]))

    @property
    def is_exact(self) -> bool:
        """Whether every compared integer tensor is bit-identical."""
        return not any(found.integer for found in self.differences.values())

    def to_json(self) -> dict[str, Any]:
        """Values for JSON."""
        return {
            "integer_tensors": len(self.integers),
            "float_tensors": len(self.floats),
            "integer_values": self.values,
            "exact": self.is_exact,
            "differences": [asdict(found) for found in self.differences.values()],
            "outputs_as_users_run_it": [asdict(found) for found in self.outputs.values()] if self.whole else None,
        }


def compared(taken: TakenStep, theirs: Mapping[str, Array], *, image: str) -> Judgement:
    """Compares the outputs of one step with the other computation's tensors; tensors it lacks are skipped."""
    judgement = Judgement()
    for tensor, mine in taken.named:
        if tensor not in theirs:
            continue
        found = difference(taken.step, tensor, mine, theirs[tensor], image=image)
        known, exact = frozenset({tensor}), taken.step.is_exact(mine)
        judgement += Judgement(
            known if exact else frozenset(),
            frozenset() if exact else known,
            mine.size if exact else 0,
            {} if found is None else {tensor: found},
        )
    return judgement


def as_users_run_it(
    program: Program, mine: Mapping[str, Array], theirs: Mapping[str, Array], *, image: str
) -> Judgement:
    """Compares the model's outputs with those of a run of the original model, without inner tensors as outputs."""
    makers = {tensor: step for step in program.steps for tensor in step.outputs}
    found = {
        tensor: difference(makers[tensor], tensor, mine[tensor], result, image=image)
        for tensor, result in theirs.items()
        if tensor in mine
    }
    return Judgement(outputs={name: one for name, one in found.items() if one is not None}, whole=bool(theirs))


def given_floats(program: Program, theirs: Mapping[str, Array]) -> Mapping[str, Array]:
    """The other computation's tensors that float steps made.

    The simulation continues with them after each float step: so the rounding differences of a float kernel do not mask
    what the integer kernels behind it do. A ConvTranspose counts as float: no runtime has it in integers.
    """
    found: dict[str, Array] = {}
    for step in program.steps:
        if step.may_differ:
            made = {name: theirs[name] for name in step.outputs if name in theirs}
            found |= {name: values for name, values in made.items() if not step.is_exact(values)}
    return found


def _merged(one: Mapping[str, Difference], other: Mapping[str, Difference]) -> Mapping[str, Difference]:
    both = {name: one[name] + found if name in one else found for name, found in other.items()}
    return {**one, **both}
