"""Writes a network node by node: which forms of a tensor exist (real or integer, in which order of axes), and more.

A form that a node asks for and that does not exist is made once: by QUANTIZE, DEQUANTIZE, TRANSPOSE or RESHAPE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.files.tflite.schema import TYPES
from quantseg.graph.edit import static_shape
from quantseg.quantization.affine import QuantParams, quantize
from quantseg.quantization.formats.litert.layout import Order, PlacedTensor, moves, only_ones_move, physical, plain
from quantseg.quantization.formats.litert.network import Operator, Tensor
from quantseg.quantization.operators import IntegerForm, integer_form
from quantseg.quantization.plan import QuantPlan
from quantseg.quantization.qtypes import INT8, UINT8

_MIDDLE = 128
"""uint8 integers minus this are the int8 integers of the same numbers."""


def as_int8(params: QuantParams) -> QuantParams:
    """The grid of the same real numbers with int8 integers. Raises ModelError for types that LiteRT has not."""
    if params.qtype is UINT8 and params.axis is None:
        zero = (params.zero_point.astype(np.int64) - _MIDDLE).astype(np.int8)
        return QuantParams(params.scale, zero, INT8)
    if params.qtype is not INT8:
        raise ModelError(f"{params.qtype.name} activations: LiteRT computes in int8; leave the type out")
    return params


class Editor:
    """The network while it is written. plan: of the integers; None for a network that stays float."""

    def __init__(self, graph: ir.Graph, plan: QuantPlan | None) -> None:
        self.graph = graph
        self.plan = plan
        self.operators: list[Operator] = []
        self._integer = frozenset() if plan is None else frozenset(node.name for node in plan.quantised)
        self._real: dict[ir.Value, list[PlacedTensor]] = {}
        self._stored: dict[ir.Value, list[PlacedTensor]] = {}
        self._names: set[str] = {str(value.name) for value in graph.outputs}
        self._node = ""

    def begin(self, node: ir.Node) -> None:
        """From now on operators are written for this node."""
        self._node = str(node.name)

    def is_integer(self, node: ir.Node) -> bool:
        """Whether the plan computes the node in integers."""
        return node.name in self._integer

    def form(self, node: ir.Node) -> IntegerForm:
        """The integer form of a node that the plan computes in integers."""
        form = integer_form(node)
        assert isinstance(form, IntegerForm)
        return form

    def grid(self, value: ir.Value | None) -> QuantParams:
        """The int8 grid of a tensor that the plan rounds."""
        assert value is not None
        assert self.plan is not None
        return as_int8(self.plan.tensors[str(value.name)])

    def has_grid(self, value: ir.Value) -> bool:
        """Whether the plan rounds the tensor."""
        return self.plan is not None and str(value.name) in self.plan.tensors

    def shape(self, value: ir.Value | None) -> tuple[int, ...]:
        """The sizes of a value. Raises ModelError where one is not known."""
        known = static_shape(value)
        if value is None or known is None:
            name = "" if value is None else value.name
            raise ModelError(f"{name!r} has a size that is known at run time alone; give a model of fixed sizes")
        return known

    # Tensors and operators

    def name(self, wanted: str) -> str:
        """The name, or the first unused one of name_1, name_2, …"""
        free, number = wanted, 0
        while free in self._names:
            number += 1
            free = f"{wanted}_{number}"
        self._names.add(free)
        return free

    def own_name(self, value: ir.Value) -> str:
        """The name of a value's real form: an output's is kept for it."""
        return str(value.name) if value.is_graph_output() else self.name(str(value.name))

    def constant(self, data: NDArray[Any], params: QuantParams | None = None) -> Tensor:
        """A constant; the file writes equal ones once."""
        return Tensor("", data.shape, data.dtype.name, params, np.asarray(data, order="C"))

    def ints(self, numbers: Sequence[int] | int) -> Tensor:
        """A constant of int32: sizes, axes, paddings."""
        return self.constant(np.array(numbers, np.int32))

    def insert(
        self, kind: str, inputs: Sequence[Tensor | None], result: Tensor, options: Mapping[str, Any] | None = None
    ) -> Tensor:
        """An operator with one result."""
        self.operators.append(Operator(kind, tuple(inputs), (result,), options or {}, self._node))
        return result

    def like(self, source: Tensor, name: str, **changed: Any) -> Tensor:
        """A new tensor of the same type, grid and shape, but for what is changed."""
        return replace(source, name=self.name(name), data=None, **changed)

    # Forms of values

    def feed(self, value: ir.Value, order: Order) -> Tensor:
        """The network's input that holds a graph input."""
        tensor = Tensor(self.name(str(value.name)), physical(self.shape(value), order), self.dtype(value))
        if tensor.dtype == "uint8":  # pixels: a grid lets kernels take them for quantised numbers
            tensor = replace(tensor, params=_PIXELS)
        self._real[value] = [PlacedTensor(tensor, order)]
        return tensor

    def dtype(self, value: ir.Value) -> str:
        """The element type of a value that is not rounded. Raises ModelError for one that LiteRT has not."""
        name = "undefined" if value.dtype is None else value.dtype.numpy().name
        if name not in TYPES:
            raise ModelError(f"{value.name!r} is {name}, which LiteRT does not take; export the model in float32")
        return name

    def put(self, value: ir.Value, placed: PlacedTensor, *, stored: bool) -> None:
        """Another form of a value. stored: whether it is its integers."""
        (self._stored if stored else self._real).setdefault(value, []).append(placed)

    def pass_on(self, source: ir.Value, value: ir.Value) -> None:
        """The value holds the same numbers as the source, on the same grid."""
        for forms in (self._real, self._stored):
            if source in forms:
                forms[value] = forms[source]

    def result(self, value: ir.Value, order: Order, *, integer: bool) -> Tensor:
        """A new tensor for the value, entered as one of its forms. integer: on its grid, or as it is."""
        shape = physical(self.shape(value), order)
        stored = integer and self.has_grid(value)
        dtype, grid = ("int8", self.grid(value)) if stored else (self.dtype(value), None)
        stem = f"{value.name}_quantized" if value.is_graph_output() else str(value.name)
        tensor = Tensor(self.name(stem) if stored else self.own_name(value), shape, dtype, grid)
        self.put(value, PlacedTensor(tensor, order), stored=stored)
        return tensor

    def replaced(self, value: ir.Value, placed: PlacedTensor) -> Tensor:
        """Enters a tensor as the only real form of a value, instead of its `result`."""
        self._real[value] = [placed]
        return placed.tensor

    def renamed(self, made: Tensor, result: Tensor) -> None:
        """Lets the last operator write `result` instead of `made`, which is alike."""
        last = self.operators[-1]
        assert last.outputs == (made,)
        self.operators[-1] = replace(last, outputs=(result,))

    def renamed_at(self, maker: Operator, result: Tensor) -> None:
        """Lets an operator with one output write `result` instead, which is alike."""
        self.operators[self.operators.index(maker)] = replace(maker, outputs=(result,))

    def at_hand(self, value: ir.Value | None, *, integer: bool) -> PlacedTensor:
        """The value's integers or real numbers in an order in which they exist."""
        assert value is not None
        forms, others = (self._stored, self._real) if integer else (self._real, self._stored)
        if value not in forms:
            if value.const_value is not None:
                forms[value] = [self._constant_form(value, plain(len(self.shape(value))), integer=integer)]
            elif value in others:
                forms[value] = [self._converted(value, others[value][0], integer=integer)]
            else:
                raise ModelError(f"{value.name!r} is made by no node; export the model again")
        return forms[value][0]

    def read(self, value: ir.Value | None, order: Order, *, integer: bool) -> Tensor:
        """The value's integers or real numbers in this order."""
        found = self.at_hand(value, integer=integer)
        assert value is not None
        forms = (self._stored if integer else self._real)[value]
        for placed in forms:
            if placed.order == order:
                return placed.tensor
        if value.const_value is not None:
            made = self._constant_form(value, order, integer=integer)
        else:
            made = PlacedTensor(self.reordered(found, order), order)
        forms.append(made)
        return made.tensor

    def reordered(self, placed: PlacedTensor, order: Order) -> Tensor:
        """The tensor with its axes in another order."""
        source, permutation = placed.tensor, moves(placed.order, order)
        if permutation == plain(len(order)):
            return source
        shape = tuple(source.shape[axis] for axis in permutation)
        if only_ones_move(source.shape, permutation):
            return self.reshaped(source, shape)
        result = self.like(source, f"{source.name}_turned", shape=shape)
        return self.insert("TRANSPOSE", [source, self.ints(permutation)], result)

    def reshaped(self, source: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The same numbers in another shape."""
        if shape == source.shape:
            return source
        result = self.like(source, f"{source.name}_shaped", shape=shape)
        return self.insert("RESHAPE", [source, self.ints(shape)], result)

    def on_grid(self, source: Tensor, grid: QuantParams) -> Tensor:
        """The integers requantised to a grid, where it is another one."""
        if source.params == grid:
            return source
        return self.insert("QUANTIZE", [source], self.like(source, f"{source.name}_requantised", params=grid))

    def _constant_form(self, value: ir.Value, order: Order, *, integer: bool) -> PlacedTensor:
        assert value.const_value is not None
        numbers = value.const_value.numpy()
        grid = self.grid(value) if integer else None
        if grid is not None:
            numbers = quantize(np.asarray(numbers, np.float32), grid)
        return PlacedTensor(self.constant(np.transpose(numbers, order), grid), order)

    def _converted(self, value: ir.Value, source: PlacedTensor, *, integer: bool) -> PlacedTensor:
        stem = str(value.name)
        if integer:
            grid = self.grid(value)
            result = Tensor(self.name(f"{stem}_quantized"), source.tensor.shape, "int8", grid)
            return PlacedTensor(self.insert("QUANTIZE", [source.tensor], result), source.order)
        name = stem if value.is_graph_output() else self.name(f"{stem}_dequantized")
        result = Tensor(name, source.tensor.shape, "float32")
        return PlacedTensor(self.insert("DEQUANTIZE", [source.tensor], result), source.order)


_PIXELS = QuantParams(np.array(1, np.float32), np.array(0, np.uint8), UINT8)
