"""The simulator beside another computation, tensor by tensor, in the order in which they are made.

After a step that computes in float both go on with the other's numbers: so one float kernel that adds in its own order
does not hide what the integer kernels behind it do.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from quantseg.simulation.difference import Difference, difference
from quantseg.simulation.others import Other
from quantseg.simulation.program import Program
from quantseg.simulation.running import Taken, run

Array = NDArray[Any]


@dataclass(frozen=True)
class Judgement:
    """What was compared and what differs.

    tensors, values: of integer operators and of those that move numbers, over all images. floats: tensors that float
    operators make. differences: in the order of the steps. outputs: those in which the model differs as users run it,
    without its inner tensors as outputs; whole: whether there was such a run.
    """

    images: int
    tensors: int
    values: int
    floats: int
    differences: tuple[Difference, ...]
    outputs: tuple[Difference, ...]
    whole: bool

    @property
    def integer_differences(self) -> tuple[Difference, ...]:
        """Those that integer arithmetic answers for."""
        return tuple(found for found in self.differences if found.integer)

    @property
    def float_differences(self) -> tuple[Difference, ...]:
        """Those of float kernels."""
        return tuple(found for found in self.differences if not found.integer)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def judge(
    program: Program,
    images: Iterable[tuple[str, Mapping[str, Array]]],
    other: Other,
    *,
    rounding: str = "onnxruntime",
) -> Judgement:
    """Compares on each (name, feeds); the errors are those of `run` and of `other`."""
    integers, floats = set[str](), set[str]()
    found: dict[str, Difference] = {}
    final: dict[str, Difference] = {}
    count = values = 0
    whole = False
    for name, feeds in images:
        count += 1
        theirs = other.tensors(name, feeds)
        given = {
            tensor: theirs[tensor]
            for step in program.steps
            if step.is_float
            for tensor in step.outputs
            if tensor in theirs
        }
        makers = {tensor: step for step in program.steps for tensor in step.outputs}
        mine: dict[str, Array] = {}
        for taken in run(program, feeds, rounding=rounding, given=given):
            for tensor, result in _results(taken):
                if tensor in program.outputs:
                    mine[tensor] = given.get(tensor, result)
                if tensor not in theirs:
                    continue
                (floats if taken.step.is_float else integers).add(tensor)
                values += 0 if taken.step.is_float else result.size
                _note(found, difference(taken.step, tensor, result, theirs[tensor], image=name))
        for tensor, result in other.outputs(feeds).items():
            whole = True
            if tensor in mine:
                _note(final, difference(makers[tensor], tensor, mine[tensor], result, image=name))
    order = {tensor: i for i, step in enumerate(program.steps) for tensor in step.outputs}
    differences = tuple(sorted(found.values(), key=lambda d: order[d.tensor]))
    return Judgement(count, len(integers), values, len(floats), differences, tuple(final.values()), whole)


def _results(taken: Taken) -> Iterator[tuple[str, Array]]:
    return ((name, found) for name, found in zip(taken.step.outputs, taken.results, strict=False) if name)


def _note(found: dict[str, Difference], new: Difference | None) -> None:
    if new is not None:
        found[new.tensor] = found[new.tensor] + new if new.tensor in found else new
