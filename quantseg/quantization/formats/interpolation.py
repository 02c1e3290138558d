"""Linear Resize in integers: weighted sums of each pixel and its neighbour, or products with a weight matrix.

A weighted sum is one integer Add: the weights are multiplied into the operands' scales, at no cost. Columns are resized
first, then rows, each rounded to the input's grid, so a result is within one step of the exact one. Intermediate
tensors are NHWC, so that phases are interleaved by copying whole pixels. The arithmetic is in operators/resampling.py.
"""

from typing import Protocol

import numpy as np
import onnx_ir as ir

from quantseg.quantization.formats.editor import GraphEditor
from quantseg.quantization.formats.slots import SlotTensor
from quantseg.quantization.operators.resampling import Blend, Interpolation, Matrix, interpolation
from quantseg.quantization.plan.ties import blend_scales

Grid = tuple[ir.Value, ir.Value]
"""Scale and zero-point."""
Operand = tuple[ir.Value, Grid]


class Calculate(Protocol):
    """How an output format writes arithmetic."""

    def __call__(
        self, editor: GraphEditor, op_type: str, operands: tuple[Operand, Operand], grid: Grid, name: str
    ) -> ir.Value:
        """Inserts an Add or MatMul of two integer tensors, each with its grid, requantised to `grid`."""


def emit(editor: GraphEditor, node: ir.Node, calculate: Calculate) -> list[SlotTensor]:
    """Inserts the integer form of a linear Resize and returns its integers."""
    form = interpolation(node)
    assert isinstance(form, Interpolation)
    return [_Writer(editor, node, calculate, form).tensor()]


class _Writer:
    """Writes the nodes of one Resize."""

    def __init__(self, editor: GraphEditor, node: ir.Node, calculate: Calculate, form: Interpolation) -> None:
        self._editor, self._node, self._calculate, self._form = editor, node, calculate, form
        self._source = editor.inputs(node)[0]
        self._grid = editor.grid(self._source)

    def tensor(self) -> SlotTensor:
        """The resized NHWC tensor, with the channel slots of the input."""
        form, (_, width), source = self._form, self._form.after, self._editor.tensor(self._source)
        places = len(source.channels)
        value = self._resized(source.value, form.columns, 2, [-1, form.before[0], width, places])
        if isinstance(form.rows, Matrix):
            value = self._reshaped(value, "lines", [-1, form.before[0], width * places])
        return source.with_value(self._resized(value, form.rows, 1, [-1, *form.after, places]))

    def _resized(self, value: ir.Value, axis: Blend | Matrix, place: int, shape: list[int]) -> ir.Value:
        """The value with its axis `place` resized, in this shape."""
        what = {1: "rows", 2: "columns"}[place]
        if isinstance(axis, Matrix):
            value = self._product(axis, value, what)
            return self._reshaped(value, f"{what}_apart", shape) if place == 1 else value
        if len(axis.phases) == 1:
            return value
        phases = self._phases(axis, value, place, what)
        joined = self._insert("Concat", f"{what}_joined", phases, axis=place + 1)
        return self._reshaped(joined, what, shape)

    def _phases(self, axis: Blend, value: ir.Value, place: int, what: str) -> list[ir.Value]:
        """For each phase the weighted sums of all pixels with their neighbours before or after."""
        size = self._form.before[place - 1]
        steps = {phase.step for phase in axis.phases if phase.own < 1}
        pads = [0] * 8
        pads[place], pads[4 + place] = int(-1 in steps), int(1 in steps)
        border = self._insert("Pad", f"{what}_border", [value, self._ints("pads", pads)], mode="edge")
        neighbours = {}
        for step in sorted(steps):
            start = pads[place] + step
            limits = [self._ints(key, [n]) for key, n in (("start", start), ("end", start + size), ("axis", place))]
            neighbours[step] = self._insert("Slice", f"{what}_{'next' if step > 0 else 'previous'}", [border, *limits])
        return [
            value
            if phase.own == 1
            else self._calculate(
                self._editor,
                "Add",
                self._weighted((value, neighbours[phase.step]), phase.own),
                self._grid,
                self._name(f"{what}_{number}"),
            )
            for number, phase in enumerate(axis.phases)
        ]

    def _weighted(self, values: tuple[ir.Value, ir.Value], own: float) -> tuple[Operand, Operand]:
        """The pixels with weight `own` and their neighbours with 1 − own, as operands with scaled grids."""
        scales = blend_scales(self._editor.params(self._source), own)
        first, second = (
            (value, (self._editor.constant(self._name("scale"), np.asarray(scale)), self._grid[1]))
            for value, scale in zip(values, scales, strict=True)
        )
        return first, second

    def _product(self, axis: Matrix, value: ir.Value, what: str) -> ir.Value:
        """The weight matrix times the value. Weights are multiples of 1/n, n even, so that rows still sum to 1."""
        qtype = self._editor.params(self._source).qtype
        parts = qtype.qmax - qtype.qmax % 2
        whole = np.round(axis.weights * parts).astype(qtype.dtype)
        stored = self._editor.constant(self._name(f"{what}_weights"), whole)
        scale = self._editor.constant(self._name(f"{what}_scale"), np.asarray(1 / parts, np.float32))
        weights: Operand = stored, (scale, self._editor.zero_point(np.zeros((), qtype.dtype)))
        return self._calculate(self._editor, "MatMul", (weights, (value, self._grid)), self._grid, self._name(what))

    def _reshaped(self, value: ir.Value, what: str, shape: list[int]) -> ir.Value:
        return self._insert("Reshape", what, [value, self._ints(f"{what}_shape", shape)])

    def _ints(self, what: str, numbers: list[int]) -> ir.Value:
        return self._editor.constant(self._name(what), np.array(numbers, np.int64))

    def _insert(self, op_type: str, what: str, inputs: list[ir.Value], **attributes: int | str | list[int]) -> ir.Value:
        """Inserts a node named after the Resize and `what`; returns its output."""
        name = self._name(what)
        written = ir.convenience.convert_attributes(attributes)
        return self._editor.insert(op_type, inputs, name, name=name, attributes=written)[0]

    def _name(self, what: str) -> str:
        return f"{self._node.name}_{what}"
