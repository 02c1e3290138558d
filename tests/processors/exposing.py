"""The integers inside a model made outputs, and counted where two processors differ.

Exposing tensors changes what a runtime may fuse; so only those are exposed that every runtime has to make as integers:
results of integer operators, and of QDQ patterns that stand for one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph import expose, make_unique, to_bytes
from quantseg.simulation.program import Program, program
from quantseg.simulation.step import Step

Array = NDArray[Any]
_BYTES = (np.dtype(np.uint8), np.dtype(np.int8))
_ACCUMULATORS = frozenset({"ConvInteger", "MatMulInteger"})
_MOVING = frozenset({
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "ReduceMax", "ReduceMin",
    "Reshape", "Resize", "Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze",
})  # fmt: skip
"""Operators that give the type that they read."""


@dataclass(frozen=True)
class Exposed:
    """A model whose outputs are its own ones and its integers. makers: integer tensor → the step that makes it.

    behind_float: those behind an operator that computes in float, whose last bits are the processor's own.
    """

    model: bytes
    outputs: tuple[str, ...]
    makers: Mapping[str, Step]
    behind_float: frozenset[str]


@dataclass(frozen=True)
class Differing:
    """A node and how many of its integers differ."""

    name: str
    op_type: str
    differ: int


@dataclass(frozen=True)
class Count:
    """Integers that differ, of how many, and the nodes that made them. A monoid under +."""

    differ: int = 0
    values: int = 0
    nodes: tuple[Differing, ...] = ()

    def __add__(self, other: "Count") -> "Count":
        nodes = {node.name: node for node in self.nodes}
        for node in other.nodes:
            known = nodes.get(node.name)
            nodes[node.name] = node if known is None else replace(node, differ=node.differ + known.differ)
        return Count(self.differ + other.differ, self.values + other.values, tuple(nodes.values()))


def exposed(model: ir.Model) -> Exposed:
    """The model with its integers as outputs. Raises ModelError for an operator that the simulator does not know."""
    clone = model.clone()
    make_unique(clone)
    steps = program(clone)
    makers = _integers(steps)
    outputs = tuple(dict.fromkeys((*steps.outputs, *makers)))
    return Exposed(to_bytes(expose(clone, outputs)), outputs, makers, _behind_float(steps, makers))


def severed(model: ir.Model, made: Mapping[str, Array]) -> tuple[bytes, dict[str, Array]]:
    """The model cut at every integer tensor, and what it is fed beside its own inputs: what another run made there.

    made: of the exposed model. So each node computes from equal integers on every processor, whatever those before it
    made. Its outputs are the integers.
    """
    clone = model.clone()
    make_unique(clone)
    names = tuple(_integers(program(clone)))
    cut = expose(clone, names)
    fed: dict[str, Array] = {}
    for value in tuple(value for node in cut.graph for value in node.outputs if value.name in names):
        array = made[str(value.name)]
        name = f"{value.name}/fed"
        given = ir.Value(
            name=name, type=ir.TensorType(ir.DataType.from_numpy(array.dtype)), shape=ir.Shape(array.shape)
        )
        readers = tuple(value.uses())
        for user, place in readers:
            user.replace_input_with(place, given)
        if readers:
            cut.graph.inputs.append(given)
            fed[name] = array
    return to_bytes(cut), fed


def differing(mine: Mapping[str, Array], other: Mapping[str, Array], made: Exposed) -> tuple[Count, Count]:
    """Integers that differ between two runs of one image: those that have to be equal, and those behind float."""
    exact, behind = Count(), Count()
    for name, step in made.makers.items():
        differ = int(np.count_nonzero(mine[name] != other[name]))
        nodes = (Differing(step.name, step.op_type, differ),) if differ else ()
        count = Count(differ, mine[name].size, nodes)
        if name in made.behind_float:
            behind += count
        else:
            exact += count
    return exact, behind


def _integers(steps: Program) -> dict[str, Step]:
    """Each tensor of 8 bits with its maker."""
    known = {name for name, values in steps.constants.items() if values.dtype in _BYTES}
    makers: dict[str, Step] = {}
    for step in steps.steps:
        integer = step.op_type == "QuantizeLinear" or (step.is_integer and step.op_type not in _ACCUMULATORS)
        if integer or (step.op_type in _MOVING and step.inputs[0] in known):
            makers |= dict.fromkeys(filter(None, step.outputs if step.op_type == "Split" else step.outputs[:1]), step)
            known |= makers.keys()
    return makers


def _behind_float(steps: Program, makers: Mapping[str, Step]) -> frozenset[str]:
    found: set[str] = set()
    for step in steps.steps:
        interpolated = step.op_type == "Resize" and step.outputs[0] in makers
        if (step.may_differ and not interpolated) or found.intersection(step.inputs):
            found |= set(step.outputs)
    return frozenset(found)
