"""Insertion of nodes and constants into a graph, under unique names."""

import hashlib
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.quantization.affine import Ints
from quantseg.quantization.qtypes import QType

MICROSOFT = "com.microsoft"
"""Domain of onnxruntime's own integer operators, which the ONNX standard lacks."""


class GraphWriter:
    """Inserts nodes into a model's graph, before the node at the current position."""

    def __init__(self, model: ir.Model) -> None:
        self._graph = model.graph
        self._position = next(iter(model.graph), None)
        self._taken = _names(model)
        self._shared: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._widened: dict[ir.Value, ir.Value] = {}

    @property
    def opset(self) -> int:
        """Version of the standard operators in this graph."""
        return self._graph.opset_imports[""]

    def constant(self, name: str, values: NDArray[np.generic]) -> ir.Value:
        """A new initializer, under the name or the first unused one of name_1, name_2, …"""
        free = self._free(name)
        tensor = ir.Tensor(values, name=free)
        shape, kind = ir.Shape(values.shape), ir.TensorType(tensor.dtype)
        value = ir.Value(name=free, shape=shape, type=kind, const_value=tensor)
        self._graph.register_initializer(value)
        return value

    def insert(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        *outputs: str,
        domain: str = "",
        name: str | None = None,
        attributes: Sequence[ir.Attr] = (),
    ) -> list[ir.Value]:
        """Inserts a node and returns its outputs, under these names or unused ones with a number appended."""
        if domain:
            self._graph.opset_imports[domain] = 1
        names = [self._free(output) for output in outputs]
        node = ir.Node(
            domain,
            op_type,
            inputs,
            attributes,
            num_outputs=len(names),
            name=name or names[0],
        )
        for output, free in zip(node.outputs, names, strict=True):
            output.name = free
        assert self._position is not None
        self._graph.insert_before(self._position, node)
        return list(node.outputs)

    def stand_in(
        self,
        node: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        *,
        domain: str = "",
        leave_out: tuple[str, ...] = (),
        **changed: int,
    ) -> list[ir.Value]:
        """Inserts the integer form of a node under its name, with its attributes but for those changed or left out."""
        kept = {name: attribute for name, attribute in node.attributes.items() if name not in leave_out}
        attributes = (kept | {name: ir.AttrInt64(name, number) for name, number in changed.items()}).values()
        outputs = (f"{output.name}_quantized" for output in node.outputs)
        return self.insert(op_type, inputs, *outputs, domain=domain, name=node.name, attributes=tuple(attributes))

    def _free(self, name: str) -> str:
        """The name, or the first of name_1, name_2, … that is unused; used from now on."""
        free, number = name, 0
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        self._taken.add(free)
        return free

    def shared(self, name: str, values: NDArray[np.generic]) -> ir.Value:
        """A constant; equal ones are stored once, under the name of the first."""
        key = (values.dtype.name, values.shape, hashlib.sha256(values.tobytes()).digest())
        if key not in self._shared:
            self._shared[key] = self.constant(name, values)
        return self._shared[key]

    def widened(self, value: ir.Value) -> ir.Value:
        """A constant of fewer than 8 bits, cast to int8; any other constant unchanged.

        A runtime folds the Cast when it loads the model, and then runs its int8 kernels. With a DequantizeLinear of
        int4 the product would stay float (onnxruntime 1.31).
        """
        if value.dtype != ir.DataType.INT4:
            return value
        if value not in self._widened:
            to = (ir.AttrInt64("to", ir.DataType.INT8.value),)
            (self._widened[value],) = self.insert("Cast", [value], f"{value.name}_widened", attributes=to)
        return self._widened[value]

    def transpose(self, value: ir.Value, order: tuple[int, ...], name: str) -> ir.Value:
        """The value with its axes in another order."""
        return self.insert("Transpose", [value], name, attributes=(ir.AttrInt64s("perm", order),))[0]

    def selected(self, value: ir.Value, places: NDArray[np.int64], axis: int, name: str) -> ir.Value:
        """The elements at these indices of an axis, by a Slice where the indices are consecutive, else a Gather."""
        first, count = int(places[0]), len(places)
        if np.array_equal(places, np.arange(first, first + count)):
            limits = [
                self.constant(f"{name}_{key}", np.array([n])) for key, n in (("from", first), ("to", first + count))
            ]
            return self.insert("Slice", [value, *limits, self.constant(f"{name}_axis", np.array([axis]))], name)[0]
        where = self.constant(f"{name}_places", places)
        return self.insert("Gather", [value, where], name, attributes=(ir.AttrInt64("axis", axis),))[0]


def packed(integers: Ints, qtype: QType) -> NDArray[np.generic]:
    """Integers in the file's type, which packs two to a byte below 8 bits."""
    return integers if qtype.bits >= 8 else integers.astype(ir.DataType[qtype.name.upper()].numpy())


def _names(model: ir.Model) -> set[str]:
    """The names of all nodes and values in the graph and its subgraphs."""
    graphs = list(model.graphs())
    nodes = [node for graph in graphs for node in graph]
    values = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
    values += (output for node in nodes for output in node.outputs)
    return {str(node.name) for node in nodes} | {str(value.name) for value in values}
