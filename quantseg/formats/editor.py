"""A graph in which a tensor may exist in float, in integers, or in both.

`stored` is a tensor's integers, `picture` the same ones with the channels last, `rounded` the float values that they
stand for. Each is made once, when a node first asks for it. After a node is replaced, all that read its float output
read the rounded one.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.affine import Ints, QuantParams, quantize
from quantseg.formats.pictures import LAST, Picture, compact, count_of, filled, spread
from quantseg.ops import IntegerForm, integer_form
from quantseg.planning import QuantPlan, bias_params, constant

MICROSOFT = "com.microsoft"
"""Domain of onnxruntime's own integer operators, which the ONNX standard lacks."""

TO_CHANNELS_LAST, TO_CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


Stored = ir.Value | Picture
"""Integers on the model's own axes, or with the channels last."""


class GraphEditor:
    """Edits a model's graph by one plan. New nodes go in before the node that is being replaced."""

    def __init__(self, model: ir.Model, plan: QuantPlan) -> None:
        self.plan = plan
        self._graph = model.graph
        self._inputs = {node: tuple(node.inputs) for node in model.graph}
        self._forms = {node: integer_form(node) for node in model.graph}
        self._resized = {
            node.inputs[0] for node in model.graph if node.op_type == "Resize" and not plan.is_quantised(str(node.name))
        }
        self._position = next(iter(model.graph), None)
        self._stored: dict[ir.Value, ir.Value] = {}
        self._pictures: dict[ir.Value, Picture] = {}
        self._compact: dict[ir.Value, ir.Value] = {}
        self._rounded: dict[ir.Value, ir.Value] = {}
        self._grids: dict[QuantParams, tuple[ir.Value, ir.Value]] = {}
        self._taken = _names(model)
        self._weights: dict[tuple[ir.Value, QuantParams], tuple[ir.Value, ir.Value, ir.Value]] = {}
        self._shared: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}

    @property
    def opset(self) -> int:
        """Version of the standard operators in this graph."""
        return self._graph.opset_imports[""]

    def inputs(self, node: ir.Node) -> tuple[ir.Value | None, ...]:
        """The node's inputs as they were before any edit."""
        self._position = node
        return self._inputs[node]

    def inputs_of(self, node: ir.Node) -> tuple[ir.Value | None, ...]:
        """The inputs, before any edit, of a node that is not being replaced now; none of one in a subgraph."""
        return self._inputs.get(node, ())

    def readers(self, value: ir.Value) -> list[ir.Node]:
        """The nodes that read a value, in place of dropped ones those that read their answer."""
        found: list[ir.Node] = []
        for user, _ in value.uses():
            dropped = str(user.name) in self.plan.dropped
            found += self.readers(user.outputs[0]) if dropped else [user]
        return found

    def form(self, node: ir.Node) -> IntegerForm:
        """The integer form that the node had before any edit; it has one."""
        form = self._forms[node]
        assert isinstance(form, IntegerForm)
        return form

    def replace(self, node: ir.Node, integers: Sequence[Stored]) -> None:
        """Removes the node, whose outputs now exist as `integers`; other readers get the rounded values.

        An output without a grid is no number (the answer of a comparison) or is not read; it passes as it is.
        """
        self._position = node
        for old, new in zip(node.outputs, integers, strict=True):
            if isinstance(new, Picture):
                self._pictures[old] = new
            else:
                self._stored[old] = new
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
            elif value in self._pictures:
                self._stored[value] = self._planes(value, f"{value.name}_channels_first")
            else:
                inputs = (value, *self.grid(value))
                (self._stored[value],) = self.insert("QuantizeLinear", inputs, f"{value.name}_quantized")
        return self._stored[value]

    def picture(self, value: ir.Value | None, *, multiple: int = 1) -> Picture:
        """The integers of a stack of pictures with the channels last, in the places where they stand.

        multiple: places of a picture that is made here, from planes, are filled up to it.
        """
        assert value is not None
        if value not in self._pictures:
            planes, count = self.stored(value), count_of(value)
            channels = filled(count, multiple if count > 2 else 1)  # few channels double for nothing
            if len(channels) > count:
                widths = self.constant(
                    f"{value.name}_widths", np.array([0] * 5 + [len(channels) - count, 0, 0], np.int64)
                )
                (planes,) = self.insert("Pad", [planes, widths, self.grid(value)[1]], f"{value.name}_filled")
            made = self.transpose(planes, TO_CHANNELS_LAST, f"{value.name}_channels_last")
            self._pictures[value] = Picture(made, channels)
        return self._pictures[value]

    def channels_last(self, value: ir.Value | None) -> ir.Value:
        """The integers as (N, H, W, C), every channel in its place."""
        assert value is not None
        picture = self.picture(value)
        if picture.is_compact:
            return picture.value
        if value not in self._compact:
            name = f"{value.name}_compact"
            self._compact[value] = self._selected(picture.value, picture.places, LAST, name)
        return self._compact[value]

    def constant_picture(self, value: ir.Value, channels: tuple[int, ...]) -> Picture:
        """A constant operand with the channels last: in these places; as it is where it has one channel, or for ()."""
        integers = quantize(constant(value), self.params(value))
        turned = integers.reshape((1,) * (4 - integers.ndim) + integers.shape).transpose(TO_CHANNELS_LAST)
        places = tuple(range(turned.shape[LAST])) if turned.shape[LAST] == 1 or not channels else channels
        placed = spread(turned, places, LAST, int(self.params(value).zero_point))
        return Picture(self.shared(f"{value.name}_quantized", placed), places)

    def is_channels_last(self, value: ir.Value | None) -> bool:
        """Whether the integers of a tensor exist with the channels last already."""
        return value in self._pictures

    def at_hand(self, value: ir.Value | None) -> Stored:
        """The integers of a tensor with the channels last where they exist so, else on the model's own axes."""
        return self.picture(value) if self.is_channels_last(value) else self.stored(value)

    def cut_out(self, value: ir.Value | None, wanted: Sequence[int]) -> Picture:
        """Some channels of a picture alone, in this order."""
        assert value is not None
        picture = self.picture(value)
        places = picture.places[np.array(wanted, np.int64)]
        return compact(self._selected(picture.value, places, LAST, f"{value.name}_cut"), len(wanted))

    def _planes(self, value: ir.Value, name: str) -> ir.Value:
        """The picture of a tensor as (N, C, H, W)."""
        picture, selected = self._pictures[value], name
        name = name if picture.is_compact else f"{name}_all"
        sizes = [] if value.shape is None else [size for size in tuple(value.shape)[2:] if isinstance(size, int)]
        if value in self._resized and len(sizes) == 2:
            planes = self._planes_in_steps(picture, sizes, name)
        else:
            planes = self.transpose(picture.value, TO_CHANNELS_FIRST, name)
        return planes if picture.is_compact else self._selected(planes, picture.places, 1, selected)

    def _planes_in_steps(self, picture: Picture, sizes: Sequence[int], name: str) -> ir.Value:
        """For a float Resize: onnxruntime 1.31 moves a Transpose of four axes behind it and is ten times slower."""
        count = len(picture.channels)
        flat, apart = ((0, sizes[0] * sizes[1], count), (0, count, *sizes))
        (lines,) = self.insert(
            "Reshape", [picture.value, self.constant(f"{name}_flat", np.array(flat))], f"{name}_lines"
        )
        turned = self.transpose(lines, (0, 2, 1), f"{name}_turned")
        return self.insert("Reshape", [turned, self.constant(f"{name}_sizes", np.array(apart))], name)[0]

    def _selected(self, value: ir.Value, places: NDArray[np.int64], axis: int, name: str) -> ir.Value:
        """The entries at these places of an axis, by a Slice where they follow each other."""
        first, count = int(places[0]), len(places)
        if np.array_equal(places, np.arange(first, first + count)):
            limits = [
                self.constant(f"{name}_{key}", np.array([n])) for key, n in (("from", first), ("to", first + count))
            ]
            return self.insert("Slice", [value, *limits, self.constant(f"{name}_axis", np.array([axis]))], name)[0]
        where = self.constant(f"{name}_places", places)
        return self.insert("Gather", [value, where], name, attributes=(ir.AttrInt64("axis", axis),))[0]

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

    def weight(self, node: ir.Node, value: ir.Value | None) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Integers, scale and zero-point of the node's weight; nodes that share a weight share them."""
        assert value is not None
        params = self.plan.weights[str(node.name)]
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
        """Inserts the integer form of a node in its name, with its attributes and those that are changed."""
        kept = {name: attribute for name, attribute in node.attributes.items() if name not in leave_out}
        attributes = (kept | {name: ir.AttrInt64(name, number) for name, number in changed.items()}).values()
        outputs = (f"{output.name}_quantized" for output in node.outputs)
        return self.insert(op_type, inputs, *outputs, domain=domain, name=node.name, attributes=tuple(attributes))

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
        """A zero-point as a constant; most of them are zero."""
        return self.shared("zero_point", values)

    def shared(self, name: str, values: NDArray[np.generic]) -> ir.Value:
        """A constant; equal ones are stored once, under the first one's name."""
        key = (values.dtype.name, values.shape, hashlib.sha256(values.tobytes()).digest())
        if key not in self._shared:
            self._shared[key] = self.constant(name, values)
        return self._shared[key]


def _names(model: ir.Model) -> set[str]:
    """Every name in the graph and its subgraphs, of nodes and of values."""
    graphs = list(model.graphs())
    nodes = [node for graph in graphs for node in graph]
    values = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
    values += (output for node in nodes for output in node.outputs)
    return {str(node.name) for node in nodes} | {str(value.name) for value in values}
