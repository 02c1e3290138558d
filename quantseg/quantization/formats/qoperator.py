"""QOperator: integer operators (QLinearConv, …) with scales and zero-points as inputs.

Those for convolutions and matrix products are standard ONNX; the others are in onnxruntime's domain com.microsoft.
Operators that only move elements are applied to the integers directly.
Source: onnxruntime, ContribOperators.md.
"""

from collections.abc import Callable, Sequence

import onnx_ir as ir

from quantseg.quantization.formats import classes, difference, direct, interpolation, qdq
from quantseg.quantization.formats.editor import GraphEditor, Stored
from quantseg.quantization.formats.interpolation import Grid, Operand
from quantseg.quantization.formats.writer import MICROSOFT
from quantseg.quantization.operators import IntegerForm, Kind

Writer = Callable[[GraphEditor, ir.Node, IntegerForm], list[ir.Value]]


def emit_node(editor: GraphEditor, node: ir.Node) -> Sequence[Stored]:
    """The node as an integer operator; as in QDQ where there is none."""
    form = editor.form(node)
    if node.op_type in _WRITERS:
        return _WRITERS[node.op_type](editor, node, form)
    if node.op_type in direct.WRITERS:
        return direct.WRITERS[node.op_type](editor, node)
    if form.kind is Kind.MOVEMENT:
        return direct.moved(editor, node)
    if form.kind is Kind.INTERPOLATION:
        return interpolation.emit(editor, node, calculated)
    return qdq.emit_node(editor, node)


def _convolution(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    data, weight, *rest = editor.inputs(node)
    operands = [
        editor.stored(data),
        *editor.grid(data),
        *editor.weight(node, weight),
        *editor.grid(node.outputs[0]),
    ]
    if form.bias is not None:
        operands.append(editor.bias(node, data, rest[0])[0])
    return editor.stand_in(node, "QLinearConv", operands)


def _gemm(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    data, weight, *rest = editor.inputs(node)
    bias = None if form.bias is None else editor.bias(node, data, rest[0])[0]
    operands = [editor.stored(data), *editor.grid(data), *editor.weight(node, weight), bias]
    operands += editor.grid(node.outputs[0])
    return editor.stand_in(node, "QGemm", operands, domain=MICROSOFT, leave_out=("beta",))


def _matmul(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    left, right = editor.inputs(node)[:2]
    second = (editor.stored(right), *editor.grid(right)) if form.weight is None else editor.weight(node, right)
    operands = [editor.stored(left), *editor.grid(left), *second, *editor.grid(node.outputs[0])]
    return editor.stand_in(node, "QLinearMatMul", operands)


def _binary(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    operands = [part for v in editor.inputs(node) for part in (editor.stored(v), *editor.grid(v))]
    operands += editor.grid(node.outputs[0])
    return editor.stand_in(node, f"QLinear{node.op_type}", operands, domain=MICROSOFT)


def _difference(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    return difference.emit(editor, node, calculated)


def _unary(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    data = editor.inputs(node)[0]
    operands = [editor.stored(data), *editor.grid(data), *editor.grid(node.outputs[0])]
    return editor.stand_in(node, f"QLinear{node.op_type}", operands, domain=MICROSOFT)


def _softmax(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    data = editor.inputs(node)[0]
    operands = [editor.stored(data), *editor.grid(data), *editor.grid(node.outputs[0])]
    return editor.stand_in(node, "QLinearSoftmax", operands, domain=MICROSOFT, opset=editor.opset)


def _concat(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    operands = [on_grid_of(editor, editor.stored(value), value, node.outputs[0]) for value in editor.inputs(node)]
    return editor.stand_in(node, "Concat", operands)


def on_grid_of(editor: GraphEditor, integers: ir.Value, value: ir.Value | None, wanted: ir.Value) -> ir.Value:
    """The integers of a tensor, in any layout, requantised to the grid of `wanted` where the two grids differ.

    This is done by adding zero: onnxruntime 1.31's QLinearConcat uses a lookup table on one thread, which takes three
    times as long.
    """
    if editor.params(value) == editor.params(wanted):
        return integers
    scale, zero = editor.grid(value)
    operands = [integers, scale, zero, zero, scale, zero, *editor.grid(wanted)]
    name = f"{'' if value is None else value.name}_requantised"
    return editor.insert("QLinearAdd", operands, name, domain=MICROSOFT)[0]


_WRITERS: dict[str, Writer] = {
    "ArgMax": classes.argmax,
    "Conv": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _binary,
    "Mul": _binary,
    "Sub": _difference,
    "AveragePool": _unary,
    "GlobalAveragePool": _unary,
    "LeakyRelu": _unary,
    "Sigmoid": _unary,
    "Softmax": _softmax,
    "Concat": _concat,
}


def calculated(editor: GraphEditor, op_type: str, operands: tuple[Operand, Operand], grid: Grid, name: str) -> ir.Value:
    """Inserts an Add or MatMul of two integer tensors, each with its grid, requantised to `grid`."""
    inputs = [part for value, scale_and_zero in operands for part in (value, *scale_and_zero)]
    domain = MICROSOFT if op_type == "Add" else ""
    return editor.insert(f"QLinear{op_type}", (*inputs, *grid), f"{name}_quantized", domain=domain, name=name)[0]
