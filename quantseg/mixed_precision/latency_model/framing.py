"""Builds a model of one unit, with inputs and outputs in a frame, the layout in which a format keeps its tensors.

The channels-last format keeps image tensors in NHWC, with channel slots of which some may be padding. Timed on NCHW
inputs, a unit alone would pay for the change of layout. So the inputs of its model are NHWC with padding, and a
Transpose and a Slice make from them what the unit reads; the channels-last format removes both when it writes it.
"""

from enum import Enum

import numpy as np
import onnx_ir as ir

from quantseg.mixed_precision.latency_model.units import Unit, sizes

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_REGISTER, _LEAST = 16, 4


class Frame(Enum):
    """The layout of image tensors at the inputs and outputs of the unit's model."""

    FILLED = "channels last, filled up to whole registers"
    COMPACT = "channels last"
    PLAIN = "as they are"


def framed(unit: Unit, opset: int, frame: Frame) -> ir.Model:
    """A model of the unit's nodes and constants, with its inputs and outputs in this frame."""
    return _Framer(frame).model(unit, opset)


def stands_outside(value: ir.Value) -> bool:
    """Whether the model itself has the tensor in NHWC, beside a Transpose from or to NCHW."""
    maker = value.producer()
    made = maker is not None and _permutation(maker) == TO_LAST
    return made or any(_permutation(user) == TO_FIRST for user, _ in value.uses())


def _permutation(node: ir.Node) -> tuple[int, ...]:
    given = node.attributes.get("perm") if node.op_type == "Transpose" else None
    return () if given is None else tuple(given.as_ints())


class _Framer:
    """Builds the model of one unit."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._copies: dict[ir.Value, ir.Value] = {}
        self._inputs: list[ir.Value] = []
        self._nodes: list[ir.Node] = []
        self._constants: list[ir.Value] = []

    def model(self, unit: Unit, opset: int) -> ir.Model:
        for node in unit.nodes:
            operands = [None if value is None else self._read(value) for value in node.inputs]
            results = [ir.Value(name=v.name, shape=v.shape, type=v.type) for v in node.outputs]
            self._copies.update(zip(node.outputs, results, strict=True))
            attributes = list(node.attributes.values())
            self._nodes.append(
                ir.Node(node.domain, node.op_type, operands, attributes, outputs=results, name=node.name)
            )
        outputs = [self._written(value) for value in unit.results]
        versions = {"": opset, **{node.domain: 1 for node in unit.nodes if node.domain}}
        graph = ir.Graph(
            self._inputs, outputs, nodes=self._nodes, initializers=self._constants, opset_imports=versions, name="part"
        )
        return ir.Model(graph, ir_version=8)

    def _read(self, value: ir.Value) -> ir.Value:
        if value in self._copies:
            return self._copies[value]
        copy = ir.Value(name=value.name, shape=value.shape, type=value.type, const_value=value.const_value)
        self._copies[value] = copy
        if value.is_initializer():
            self._constants.append(copy)
        elif self._is_turned(value):
            self._turned_in(value, copy)
        else:
            self._inputs.append(copy)
        return copy

    def _turned_in(self, value: ir.Value, copy: ir.Value) -> None:
        """Adds an NHWC input, with padding channels if the frame has them, and makes the unit's NCHW input from it."""
        batch, count, height, width = sizes(value)
        places = _filled(count) if self._frame is Frame.FILLED else count
        outer = ir.Value(name=f"{value.name}_places", shape=ir.Shape((batch, height, width, places)), type=value.type)
        self._inputs.append(outer)
        if places == count:
            self._turn(outer, copy, TO_FIRST)
            return
        planes = ir.Value(name=f"{value.name}_planes", shape=ir.Shape((batch, places, height, width)), type=value.type)
        self._turn(outer, planes, TO_FIRST)
        limits = [self._ints(f"{value.name}_{what}", n) for what, n in (("from", 0), ("to", count), ("axis", 1))]
        self._nodes.append(ir.Node("", "Slice", [planes, *limits], outputs=[copy], name=f"{value.name}_chosen"))

    def _written(self, value: ir.Value) -> ir.Value:
        if not self._is_turned(value):
            return self._copies[value]
        batch, count, height, width = sizes(value)
        outer = ir.Value(name=f"{value.name}_last", shape=ir.Shape((batch, height, width, count)), type=value.type)
        self._turn(self._copies[value], outer, TO_LAST)
        return outer

    def _is_turned(self, value: ir.Value) -> bool:
        image = value.dtype == ir.DataType.FLOAT and len(sizes(value)) == 4
        return self._frame is not Frame.PLAIN and image and not stands_outside(value)

    def _turn(self, before: ir.Value, after: ir.Value, order: tuple[int, ...]) -> None:
        attribute = ir.AttrInt64s("perm", order)
        self._nodes.append(
            ir.Node("", "Transpose", [before], [attribute], outputs=[after], name=f"{after.name}_turned")
        )

    def _ints(self, name: str, number: int) -> ir.Value:
        tensor = ir.Tensor(np.array([number], np.int64), name=name)
        kind = ir.TensorType(ir.DataType.INT64)
        value = ir.Value(name=name, shape=ir.Shape((1,)), type=kind, const_value=tensor)
        self._constants.append(value)
        return value


def _filled(count: int) -> int:
    """The number of channel slots of a convolution's output with so many channels; padding at most doubles it."""
    fills = (count + -count % multiple for multiple in (_REGISTER, _LEAST))
    return next((places for places in fills if places <= 2 * count), count)
