"""A graph in which a tensor may exist in float, in integers, or in both.

`stored` is a tensor's integers, `channels_last` the same ones as (N, H, W, C), `rounded` the float values that they
stand for. Each is made once, when a node first asks for it. After a node is replaced, all that read its float output
read the rounded one.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.affine import Ints, QuantParams, quantize
from quantseg.ops import IntegerForm, integer_form
from quantseg.planning import QuantPlan, bias_params, constant

MICROSOFT = "com.microsoft"
"""Domain of onnxruntime's own integer operators, which the ONNX standard lacks."""

TO_CHANNELS_LAST, TO_CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


class ChannelsLast(tuple[ir.Value, ...]):
    """The integers of a node's outputs, as (N, H, W, C); those in any other sequence have the model's own axes."""

    __slots__ = ()


class GraphEditor:
    """Edits a model's graph by one plan. New nodes go in before the node that is being replaced."""

    def __init__(self, model: ir.Model, plan: QuantPlan) -> None:
        self.plan = plan
        self._graph = model.graph
        self._inputs = {node: tuple(node.inputs) for node in model.graph}
        self._forms = {node: integer_form(node) for node in model.graph}
        self._position = next(iter(model.graph), None)
        self._stored: dict[ir.Value, ir.Value] = {}
        self._channels_last: dict[ir.Value, ir.Value] = {}
        self._rounded: dict[ir.Value, ir.Value] = {}
        self._grids: dict[QuantParams, tuple[ir.Value, ir.Value]] = {}
        self._taken = _names(model)
        self._weights: dict[tuple[ir.Value, QuantParams], tuple[ir.Value, ir.Value, ir.Value]] = {}
        self._zero_points: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}

    @property
    def opset(self) -> int:
        """Version of the standard operators in this graph."""
        return self._graph.opset_imports[""]

    def inputs(self, node: ir.Node) -> tuple[ir.Value | None, ...]:
        """The node's inputs as they were before any edit."""
        self._position = node
        return self._inputs[node]

    def form(self, node: ir.Node) -> IntegerForm:
        """The integer form that the node had before any edit; it has one."""
        form = self._forms[node]
        assert isinstance(form, IntegerForm)
        return form

    def replace(self, node: ir.Node, integers: Sequence[ir.Value]) -> None:
        """Removes the node, whose outputs now exist as `integers`; other readers get the rounded values.

        An output without a grid is no number (the answer of a comparison) or is not read; it passes as it is.
        """
        self._position = node
        made = self._channels_last if isinstance(integers, ChannelsLast) else self._stored
        for old, new in zip(node.outputs, integers, strict=True):
            made[old] = new
            if str(old.name) not in self.plan.tensors:
                stored = self.stored(old)
                stored.shape, stored.type = old.shape, old.type
                old.replace_all_uses_with(stored, replace_graph_outputs=True)
                continue
            old.replace_all_uses_with(self.rounded(old), replace_graph_outputs=True)
        self._graph.remove(node, safe=True)

    def stored(self, value: ir.Value | None) -> ir.Value:
        """The integers of a tensor that has a grid; a float one is quantised here."""
        assert value is not None
        if value not in self._stored:
            if value.is_initializer():
                integers = quantize(constant(value), self.params(value))
                self._stored[value] = self.constant(f"{value.name}_quantized", integers)
            elif value in self._channels_last:
                name = f"{value.name}_channels_first"
                self._stored[value] = self.transpose(self._channels_last[value], TO_CHANNELS_FIRST, name)
            else:
                inputs = (value, *self.grid(value))
                (self._stored[value],) = self.insert("QuantizeLinear", inputs, f"{value.name}_quantized")
        return self._stored[value]

    def channels_last(self, value: ir.Value | None) -> ir.Value:
        """The integers of a stack of pictures with a grid, as (N, H, W, C); a constant may have fewer axes."""
        assert value is not None
        if value not in self._channels_last:
            if value.is_initializer():
                integers = quantize(constant(value), self.params(value))
                aligned = integers.reshape((1,) * (4 - integers.ndim) + integers.shape).transpose(TO_CHANNELS_LAST)
                made = self.constant(f"{value.name}_quantized", np.ascontiguousarray(aligned))
            else:
                made = self.transpose(self.stored(value), TO_CHANNELS_LAST, f"{value.name}_channels_last")
            self._channels_last[value] = made
        return self._channels_last[value]

    def is_channels_last(self, value: ir.Value | None) -> bool:
        """Whether the integers of a tensor exist as (N, H, W, C) already."""
        return value in self._channels_last

    def at_hand(self, value: ir.Value | None) -> Sequence[ir.Value]:
        """The integers of a tensor as (N, H, W, C) where they exist so, else on the model's own axes."""
        if self.is_channels_last(value):
            return ChannelsLast([self.channels_last(value)])
        return [self.stored(value)]

    def transpose(self, value: ir.Value, order: tuple[int, ...], name: str) -> ir.Value:
        """The value with its axes in another order."""
        return self.insert("Transpose", [value], name, attributes=(ir.AttrInt64s("perm", order),))[0]

    def rounded(self, value: ir.Value | None) -> ir.Value:
        """The float values that the tensor's integers stand for."""
        assert value is not None
        if value not in self._rounded:
            inputs = (self.stored(value), *self.grid(value))
            (rounded,) = self.insert("DequantizeLinear", inputs, f"{value.name}_dequantized")
            rounded.shape, rounded.type = value.shape, value.type
            self._rounded[value] = rounded
        return self._rounded[value]

    def params(self, value: ir.Value | None) -> QuantParams:
        """The grid of an activation or constant operand."""
        assert value is not None
        return self.plan.tensors[str(value.name)]

    def grid(self, value: ir.Value | None) -> tuple[ir.Value, ir.Value]:
        """Scale and zero-point of a tensor as constants, which all tensors on one grid share."""
        assert value is not None
        params = self.params(value)
        if params not in self._grids:
            self._grids[params] = self._scale_and_zero_point(str(value.name), params)
        return self._grids[params]

    def weight(self, node: ir.Node, value: ir.Value | None, *, shift: int = 0) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Integers, scale and zero-point of the node's weight; nodes that share a weight share them.

        shift: added to integers and zero-point, S((q + shift) − (Z + shift)): the same numbers.
        """
        assert value is not None
        planned = self.plan.weights[str(node.name)]
        params = replace(planned, zero_point=(planned.zero_point + shift).astype(planned.qtype.dtype))
        if (value, params) not in self._weights:
            integers = self.constant(f"{value.name}_quantized", quantize(constant(value), params))
            self._weights[value, params] = (integers, *self._scale_and_zero_point(str(value.name), params))
        return self._weights[value, params]

    def bias(self, node: ir.Node, data: ir.Value | None, value: ir.Value | None) -> tuple[ir.Value, QuantParams]:
        """The int32 integers of the node's bias, flat, and their grid."""
        params = bias_params(self.params(data), self.plan.weights[str(node.name)])
        integers = quantize(constant(value).reshape(-1), params)
        return self.constant(f"{node.name}_bias_quantized", integers), params

    def constant(self, name: str, values: NDArray[np.generic]) -> ir.Value:
        """A new initializer, under the name or the first free one after it."""
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
        """Inserts a node, and gives its outputs: under these names or the first free ones after them."""
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

    def _free(self, name: str) -> str:
        """The name, or the first of name_1, name_2, … that nothing in the graph has; taken from now on."""
        free, number = name, 0
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        self._taken.add(free)
        return free

    def _scale_and_zero_point(self, name: str, params: QuantParams) -> tuple[ir.Value, ir.Value]:
        return self.constant(f"{name}_scale", params.scale), self.zero_point(params.zero_point)

    def zero_point(self, values: Ints) -> ir.Value:
        """A zero-point as a constant; equal ones, most of them zero, are stored once."""
        key = (values.dtype.name, values.shape, values.tobytes())
        if key not in self._zero_points:
            self._zero_points[key] = self.constant("zero_point", values)
        return self._zero_points[key]


def _names(model: ir.Model) -> set[str]:
    """Every name in the graph and its subgraphs, of nodes and of values."""
    graphs = list(model.graphs())
    nodes = [node for graph in graphs for node in graph]
    values = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
    values += (output for node in nodes for output in node.outputs)
    return {str(node.name) for node in nodes} | {str(value.name) for value in values}
