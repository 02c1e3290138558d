"""The integers inside a model made outputs, and counted where two processors differ.

Exposing tensors changes what a runtime may fuse; so only those are exposed that every runtime has to make as integers:
results of integer operators, and of QDQ patterns that stand for one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph import expose, make_unique, to_bytes
from quantseg.graph.operators import MOVEMENTS, SELECTIONS
from quantseg.simulation.program import Program, program
from quantseg.simulation.step import Step

Array = NDArray[Any]
_BYTES = (np.dtype(np.uint8), np.dtype(np.int8))
_ACCUMULATORS = frozenset({"ConvInteger", "MatMulInteger"})
_FED = "/fed"
_MOVING = MOVEMENTS | SELECTIONS | {"Concat", "Identity", "Pad", "Resize"}
"""Operators that give the type that they read."""


@dataclass(frozen=True)
class Exposed:
    """A model whose outputs are its own ones and its integers. makers: integer tensor → the step that makes it.

    borders: integers that come straight from float arithmetic, whose last bits are the processor's own.
    """

    model: bytes
    outputs: tuple[str, ...]
    makers: Mapping[str, Step]
    borders: frozenset[str]


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
    return Exposed(to_bytes(expose(clone, outputs)), outputs, makers, _borders(steps, makers))


def cut(model: ir.Model, made: Mapping[str, Array], names: Collection[str]) -> tuple[bytes, tuple[str, ...]]:
    """The exposed model with readers of the named integers fed with what another run made, and the names that are fed.

    made: of a run of the exposed model, for types and shapes; see `fed`. Cut at its borders, a model computes from
    equal integers behind its float regions; cut at all integers, so does every node alone.
    """
    clone = model.clone()
    make_unique(clone)
    whole = exposed(clone)
    opened = expose(clone, whole.outputs)
    taken = []
    for value in tuple(value for node in opened.graph for value in node.outputs if value.name in names):
        array, readers = made[str(value.name)], tuple(value.uses())
        kind = ir.TensorType(ir.DataType.from_numpy(array.dtype))
        given = ir.Value(name=f"{value.name}{_FED}", type=kind, shape=ir.Shape(array.shape))
        for user, place in readers:
            user.replace_input_with(place, given)
        if readers:
            opened.graph.inputs.append(given)
            taken.append(str(value.name))
    return to_bytes(opened), tuple(taken)


def fed(made: Mapping[str, Array], names: Collection[str]) -> dict[str, Array]:
    """What a model that is cut is fed beside its own inputs. names: as `cut` tells."""
    return {f"{name}{_FED}": made[name] for name in names}


def differing(mine: Mapping[str, Array], other: Mapping[str, Array], made: Exposed) -> tuple[Count, Count]:
    """Integers that differ between two runs of one image: those that have to be equal, and those at borders."""
    exact, borders = Count(), Count()
    for name, step in made.makers.items():
        differ = int(np.count_nonzero(mine[name] != other[name]))
        nodes = (Differing(step.name, step.op_type, differ),) if differ else ()
        count = Count(differ, mine[name].size, nodes)
        if name in made.borders:
            borders += count
        else:
            exact += count
    return exact, borders


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


def _borders(steps: Program, makers: Mapping[str, Step]) -> frozenset[str]:
    """Integers that a step makes of float numbers which kernels compute, or by float arithmetic of its own."""
    found: set[str] = set()
    computed: set[str] = set()
    for step in steps.steps:
        interpolated = step.op_type == "Resize" and step.outputs[0] in makers
        if (step.may_differ and not interpolated) or computed.intersection(step.inputs):
            at_border = set(step.outputs) & makers.keys()
            found |= at_border
            computed |= set(step.outputs) - at_border
    return frozenset(found)
