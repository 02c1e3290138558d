"""The graph as the latency model sees it: all sizes known, and each Relu or Clip joined to the node before it."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from quantseg.graph import infer_shapes
from quantseg.graph.passes.constants import fold_constants
from quantseg.quantization.operators import IntegerForm, Kind, integer_form

LARGEST = 1 << 28
"""Most elements of a random tensor that is made for timing: a file may declare any size."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A node and the chain of clamps that alone reads it: they run in one kernel, so they are placed together."""

    nodes: tuple[ir.Node, ...]

    @property
    def name(self) -> str:
        """Name of the first node."""
        return str(self.nodes[0].name)

    @property
    def names(self) -> frozenset[str]:
        """Names of all nodes."""
        return frozenset(str(node.name) for node in self.nodes)

    @property
    def op_type(self) -> str:
        """Operator of the first node."""
        return self.nodes[0].op_type

    @property
    def data(self) -> tuple[ir.Value, ...]:
        """The float tensors that the unit reads, constants left out; each once."""
        read = dict.fromkeys(value for value in self.nodes[0].inputs if value is not None)
        return tuple(value for value in read if not value.is_initializer() and value.dtype == ir.DataType.FLOAT)

    @property
    def results(self) -> tuple[ir.Value, ...]:
        """The tensors that the unit writes and that are read or are outputs of the graph."""
        return tuple(v for v in self.nodes[-1].outputs if v.uses() or v.is_graph_output())


def sized(model: ir.Model, inputs: Mapping[str, Sequence[int]]) -> ir.Model:
    """A copy with these input shapes, all other shapes inferred and constants folded that depend on shapes alone.

    An open batch size becomes 1. Shapes that are known only at run time stay open.
    """
    copy = model.clone()
    for value in copy.graph.inputs:
        if value.shape is None:
            continue
        open_batch = [1 if axis == 0 and not isinstance(dim, int) else dim for axis, dim in enumerate(value.shape)]
        value.shape = ir.Shape(inputs.get(str(value.name), open_batch))
    for node in copy.graph:
        for value in node.outputs:
            if not is_sized(value):
                value.shape = None
    for _ in range(2):  # folding turns computed sizes into constants, from which more shapes follow
        infer_shapes(copy)
        fold_constants(copy)
    infer_shapes(copy)
    return copy


def is_sized(value: ir.Value) -> bool:
    """Whether type and all sizes of the tensor are known, and it is no larger than LARGEST."""
    known = value.dtype is not None and value.shape is not None and all(isinstance(dim, int) for dim in value.shape)
    return known and math.prod(sizes(value)) <= LARGEST


def sizes(value: ir.Value) -> tuple[int, ...]:
    """The shape of a tensor whose sizes are known."""
    return tuple(dim for dim in value.shape or () if isinstance(dim, int))


def units_of(graph: ir.Graph, apart: Container[str] = ()) -> tuple[Unit, ...]:
    """The units of the graph, in its order; each node is in one. apart: names of nodes that stay units of their own."""
    chains: dict[ir.Value, list[ir.Node]] = {}
    found: list[list[ir.Node]] = []
    for node in graph:
        before = node.inputs[0] if node.inputs else None
        alone = str(node.name) in apart
        if before in chains and not alone and _is_clamp(node):
            chain = chains.pop(before)
            chain.append(node)
        else:
            chain = [node]
            found.append(chain)
        output = node.outputs[0]
        if not alone and len(node.outputs) == 1 and len(output.uses()) == 1 and not output.is_graph_output():
            chains[output] = chain
    return tuple(Unit(tuple(chain)) for chain in found)


def _is_clamp(node: ir.Node) -> bool:
    form = integer_form(node)
    return isinstance(form, IntegerForm) and form.kind is Kind.CLAMP
