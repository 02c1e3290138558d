"""The calculation of one value of one node, with the float model's value for comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from quantseg.quantization.model_files import AnyModel, as_file
from quantseg.simulation.explaining import explain, telling
from quantseg.simulation.explaining.working import Working
from quantseg.simulation.finding import beside, find
from quantseg.simulation.program import Program


@dataclass(frozen=True)
class Explanation:
    """How one output value is computed.

    node: the node's name. stands_for: its ONNX operator; op_type: the integer operator that computes it. tensor, shape:
    its output. place: the value's index there. float_value, float_place: the float model's value and its index there,
    if a reference was given; the channel is another one where quantising reordered them.
    """

    node: str
    stands_for: str
    op_type: str
    tensor: str
    shape: tuple[int, ...]
    place: tuple[int, ...]
    working: Working
    float_value: float | None = None
    float_place: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Values for JSON."""
        said = {"node": self.node, "place": list(self.place), "float_model": self.float_value}
        if self.float_place is not None:
            said["float_place"] = list(self.float_place)
        return said | self.working.to_json()

    def __str__(self) -> str:
        w = self.working
        return (
            f"node {self.node!r}: {self.stands_for}, computed as {self.op_type}\n"
            f"value {list(self.place)} of {self.tensor!r}, {list(self.shape)}:\n"
            f"  {w.result}, that is {w.real:.6g}; in real arithmetic {w.exact:.6g}"
        )


@dataclass(frozen=True)
class Explaining:
    """Options of `explained`.

    at: the value's index in the node's output; None picks the largest that does not saturate. reference: the float
    model to compare with. rounding: of requantisation, a name in ROUNDINGS. follow_links: whether symbolic links among
    the images may lead out of their folder.
    """

    at: Sequence[int] | None = None
    reference: AnyModel | None = None
    rounding: str = "onnxruntime"
    follow_links: bool = False


def explained(program: Program, feeds: Mapping[str, NDArray[Any]], node: str, how: Explaining) -> Explanation:
    """The calculation of one value of a node's output for these inputs. Raises ModelError, PlanError."""
    taken = find(program, feeds, node, rounding=how.rounding)
    step, result = taken.step, taken.results[0]
    working = explain(taken, None if how.at is None else tuple(how.at))
    place = telling(result) if how.at is None else tuple(how.at)
    other: tuple[float | None, tuple[int, ...] | None] = (None, None)
    if how.reference is not None:
        with as_file(how.reference) as reference:
            other = beside(reference, taken, place, feeds)
    return Explanation(step.name, step.stands_for, step.op_type, step.outputs[0], result.shape, place, working, *other)
