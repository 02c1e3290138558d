"""A graph in which a tensor may exist in float, in integers, or in both.

`stored` is a tensor's integers, `tensor` the same integers in NHWC order, `rounded` the dequantised floats. Each is
made once, when a node first asks for it. After a node is replaced, consumers of its float output read the rounded one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.quantization.affine import F32, Ints, QuantParams, quantize
from quantseg.quantization.formats.slots import LAST, PADDING, SlotTensor, compact, count_of, spread
from quantseg.quantization.formats.writer import GraphWriter, packed
from quantseg.quantization.operators import IntegerForm, integer_form
from quantseg.quantization.plan import QuantPlan, bias_params, constant

TO_CHANNELS_LAST, TO_CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


IMAGE_CHANNELS = 3

Stored = ir.Value | SlotTensor
"""A tensor's integers, on the model's own axes or in NHWC order."""


class GraphEditor(GraphWriter):
    """Edits a model's graph by a plan. New nodes are inserted before the node that is being replaced."""

    def __init__(self, model: ir.Model, plan: QuantPlan) -> None:
        super().__init__(model)
        self.plan = plan
        self._inputs = {node: tuple(node.inputs) for node in model.graph}
        self._forms = {node: integer_form(node) for node in model.graph}
        self._stored: dict[ir.Value, ir.Value] = {}
        self._images: dict[ir.Value, SlotTensor] = {}
        self._compact: dict[ir.Value, ir.Value] = {}
        self._turned: dict[ir.Value, ir.Value] = {}
        self._rounded: dict[ir.Value, ir.Value] = {}
        self._grids: dict[QuantParams, tuple[ir.Value, ir.Value]] = {}

    def inputs(self, node: ir.Node) -> tuple[ir.Value | None, ...]:
        """The node's inputs as they were before any edit; from now on new nodes are inserted before this node."""
        self._position = node
        return self._inputs[node]

    def inputs_of(self, node: ir.Node) -> tuple[ir.Value | None, ...]:
        """The inputs, before any edit, of a node that is not the one being replaced; () for one in a subgraph."""
        return self._inputs.get(node, ())

    def readers(self, value: ir.Value) -> list[ir.Node]:
        """The consumers of a value; instead of a dropped clamp, the consumers of its output."""
        found: list[ir.Node] = []
        for user, _ in value.uses():
            dropped = str(user.name) in self.plan.dropped
            found += self.readers(user.outputs[0]) if dropped else [user]
        return found

    def form(self, node: ir.Node) -> IntegerForm:
        """The node's integer form, as it was before any edit."""
        form = self._forms[node]
        assert isinstance(form, IntegerForm)
        return form

    def replace(self, node: ir.Node, integers: Sequence[Stored]) -> None:
        """Removes the node, whose outputs now exist as `integers`; float consumers get the dequantised values.

        An output without a grid (the result of a comparison, or one that nothing reads) is replaced as it is.
        """
        self._position = node
        for old, new in zip(node.outputs, integers, strict=True):
            if isinstance(new, SlotTensor):
                self._images[old] = new
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
        """The integers of a tensor that has a grid; a tensor that exists only in float is quantised here."""
        assert value is not None
        if value not in self._stored:
            if value.is_initializer():
                integers = quantize(constant(value), self.params(value))
                self._stored[value] = self.constant(f"{value.name}_quantized", integers)
            elif value in self._images:
                self._stored[value] = self._planes(value, f"{value.name}_channels_first")
            else:
                inputs = (value, *self.grid(value))
                (self._stored[value],) = self.insert("QuantizeLinear", inputs, f"{value.name}_quantized")
        return self._stored[value]

    def tensor(self, value: ir.Value | None, *, filled_up: bool = False) -> SlotTensor:
        """The integers of a tensor (N, C, H, W) as an NHWC tensor, in the channel slots that it has.

        filled_up: whether three channels, as images have, get a fourth slot, for kernels that take four at once.
        """
        assert value is not None
        wants_place = filled_up and count_of(value) == IMAGE_CHANNELS
        if value not in self._images:
            planes, channels = self.stored(value), tuple(range(count_of(value)))
            if wants_place:
                widths = self.shared("fourth_channel", np.array([0, 0, 0, 0, 0, 1, 0, 0], np.int64))
                (planes,) = self.insert("Pad", [planes, widths, self.grid(value)[1]], f"{value.name}_filled")
                channels = (*channels, PADDING)
            made = self.transpose(planes, TO_CHANNELS_LAST, f"{value.name}_channels_last")
            self._images[value] = SlotTensor(made, channels)
        elif wants_place and len(self._images[value].channels) == IMAGE_CHANNELS:
            self._images[value] = self._with_fourth(value, self._images[value])
        return self._images[value]

    def _with_fourth(self, value: ir.Value, tensor: SlotTensor) -> SlotTensor:
        """Appends a slot by Concat: onnxruntime 1.31 pads the last axis element by element, seven times as slow."""
        name, (_, zero_point) = str(value.name), self.grid(value)
        limits = [
            self.shared(f"sizes_{what}", np.array([number], np.int64)) for what, number in (("from", 0), ("to", 3))
        ]
        (shape,) = self.insert("Shape", [tensor.value], f"{name}_shape")
        (sizes,) = self.insert("Slice", [shape, *limits], f"{name}_sizes")
        along = (ir.AttrInt64("axis", 0),)
        one = self.shared("one_place", np.array([1], np.int64))
        (plane_shape,) = self.insert("Concat", [sizes, one], f"{name}_plane_shape", attributes=along)
        (plane,) = self.insert("Expand", [zero_point, plane_shape], f"{name}_plane")
        last = (ir.AttrInt64("axis", LAST),)
        (wide,) = self.insert("Concat", [tensor.value, plane], f"{name}_filled", attributes=last)
        return SlotTensor(wide, (*tensor.channels, PADDING))

    def channels_last(self, value: ir.Value | None) -> ir.Value:
        """The integers as a compact NHWC tensor: all channels in order, without padding."""
        assert value is not None
        tensor = self.tensor(value)
        if tensor.is_compact:
            return tensor.value
        if value not in self._compact:
            name = f"{value.name}_compact"
            self._compact[value] = self.selected(tensor.value, tensor.places, LAST, name)
        return self._compact[value]

    def constant_image(self, value: ir.Value, channels: tuple[int, ...]) -> SlotTensor:
        """A constant operand in NHWC order with these channel slots; compact where it has other channels, or for ()."""
        integers = quantize(constant(value), self.params(value))
        turned = integers.reshape((1,) * (4 - integers.ndim) + integers.shape).transpose(TO_CHANNELS_LAST)
        fits = turned.shape[LAST] == 1 + max(channels, default=-1)
        places = channels if fits else tuple(range(turned.shape[LAST]))
        placed = spread(turned, places, LAST, int(self.params(value).zero_point))
        return SlotTensor(self.shared(f"{value.name}_quantized", placed), places)

    def is_channels_last(self, value: ir.Value | None) -> bool:
        """Whether the integers of a tensor exist as an NHWC tensor already."""
        return value in self._images

    def at_hand(self, value: ir.Value | None) -> Stored:
        """The integers of a tensor as an NHWC tensor if that exists, else on the model's own axes."""
        return self.tensor(value) if self.is_channels_last(value) else self.stored(value)

    def cut_out(self, value: ir.Value | None, wanted: Sequence[int]) -> SlotTensor:
        """A compact NHWC tensor of the wanted channels only, in this order."""
        assert value is not None
        tensor = self.tensor(value)
        places = tensor.places[np.array(wanted, np.int64)]
        return compact(self.selected(tensor.value, places, LAST, f"{value.name}_cut"), len(wanted))

    def _planes(self, value: ir.Value, name: str) -> ir.Value:
        """The integers of an NHWC tensor as (N, C, H, W)."""
        tensor, selected = self._images[value], name
        name = name if tensor.is_compact else f"{name}_all"
        if tensor.value not in self._turned:  # two tensors may be different channels of it
            self._turned[tensor.value] = self.transpose(tensor.value, TO_CHANNELS_FIRST, name)
        planes = self._turned[tensor.value]
        return planes if tensor.is_compact else self.selected(planes, tensor.places, 1, selected)

    def rounded(self, value: ir.Value | None) -> ir.Value:
        """The tensor, dequantised from its integers."""
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
        """Scale and zero-point of a tensor as constants, shared by all tensors with the same grid."""
        assert value is not None
        params = self.params(value)
        if params not in self._grids:
            self._grids[params] = self._scale_and_zero_point(str(value.name), params)
        return self._grids[params]

    def weight(self, node: ir.Node, value: ir.Value | None) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Integers, scale and zero-point of the node's weight, as constants that no other node reads.

        With session.x64quantprecision, onnxruntime converts each weight to uint8 in place, and does not open a model in
        which two nodes share a weight, or two weights a zero-point.
        """
        params = self.plan.weights[str(node.name)]
        integers = packed(quantize(constant(value), params), params.qtype)
        return self.weight_constants(node, value, integers, params.scale, params.zero_point)

    def weight_constants(
        self, node: ir.Node, value: ir.Value | None, integers: NDArray[Any], scale: F32, zero_point: Ints
    ) -> tuple[ir.Value, ir.Value, ir.Value]:
        """These arrays as weight, scale and zero-point of the node. value: the float weight."""
        assert value is not None
        stored = self.widened(self.constant(f"{value.name}_quantized", integers))
        return (
            stored,
            self.constant(f"{value.name}_scale", scale),
            self.constant(f"{node.name}_weight_zero_point", zero_point),
        )

    def bias(self, node: ir.Node, data: ir.Value | None, value: ir.Value | None) -> tuple[ir.Value, QuantParams]:
        """The int32 integers of the node's bias, flattened, and their grid."""
        params = bias_params(self.params(data), self.plan.weights[str(node.name)])
        integers = quantize(constant(value).reshape(-1), params)
        return self.constant(f"{node.name}_bias_quantized", integers), params

    def _scale_and_zero_point(self, name: str, params: QuantParams) -> tuple[ir.Value, ir.Value]:
        return self.constant(f"{name}_scale", params.scale), self.zero_point(params.zero_point)

    def zero_point(self, values: Ints) -> ir.Value:
        """A zero-point as a constant; equal ones are shared."""
        return self.shared("zero_point", values)
