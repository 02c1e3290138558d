"""QDQ: the float operator between DequantizeLinear and QuantizeLinear, which runtimes fuse into integer kernels.

Standard ONNX, for every runtime that supports quantised models.
"""

from collections.abc import Sequence

import onnx_ir as ir

from quantseg.quantization.formats import difference, direct, interpolation
from quantseg.quantization.formats.editor import GraphEditor, Stored
from quantseg.quantization.formats.interpolation import Grid, Operand
from quantseg.quantization.operators import Kind, planned_for_others


def emit_node(editor: GraphEditor, node: ir.Node) -> Sequence[Stored]:
    """The node with dequantised inputs and quantised outputs; directly on integers where no runtime fuses that."""
    form = editor.form(node)
    if node.op_type in direct.WRITERS:
        return direct.WRITERS[node.op_type](editor, node)
    if form.kind is Kind.INTERPOLATION and not planned_for_others(node):
        return interpolation.emit(editor, node, _calculated)
    if node.op_type == "Sub":
        return difference.emit(editor, node, _calculated)
    if direct.is_clamp_on_one_grid(editor, node):
        return direct.clamped(editor, node, editor.stored(editor.inputs(node)[0]))
    inputs = list(editor.inputs(node))
    for index in form.data:
        inputs[index] = editor.rounded(editor.inputs(node)[index])
    if form.weight is not None:
        integers, scale, zero_point = editor.weight(node, inputs[form.weight])
        params = editor.plan.weights[str(node.name)]
        inputs[form.weight] = _dequantized(editor, (integers, scale, zero_point), params.axis)
        if form.bias is not None:
            bias, grid = editor.bias(node, editor.inputs(node)[form.data[0]], inputs[form.bias])
            scale = editor.constant(f"{bias.name}_scale", grid.scale)
            inputs[form.bias] = _dequantized(editor, (bias, scale, editor.zero_point(grid.zero_point)), grid.axis)
    written = editor.insert(
        node.op_type,
        inputs,
        *(f"{output.name}_float" for output in node.outputs),
        name=node.name,
        attributes=tuple(node.attributes.values()),
    )
    stored: list[ir.Value] = []
    for old, new in zip(node.outputs, written, strict=True):
        if str(old.name) in editor.plan.tensors:
            stored += editor.insert("QuantizeLinear", (new, *editor.grid(old)), f"{old.name}_quantized")
        else:  # nothing reads it
            stored.append(new)
    return stored


def _calculated(
    editor: GraphEditor, op_type: str, operands: tuple[Operand, Operand], grid: Grid, name: str
) -> ir.Value:
    """Inserts an Add or MatMul of two integer tensors, each with its grid, requantised to `grid`."""
    inputs = [
        editor.insert("DequantizeLinear", (value, *scale_and_zero), f"{name}_{side}")[0]
        for side, (value, scale_and_zero) in zip(("left", "right"), operands, strict=True)
    ]
    (exact,) = editor.insert(op_type, inputs, f"{name}_float", name=name)
    (stored,) = editor.insert("QuantizeLinear", (exact, *grid), f"{name}_quantized")
    return stored


def _dequantized(editor: GraphEditor, inputs: tuple[ir.Value, ir.Value, ir.Value], axis: int | None) -> ir.Value:
    attributes = () if axis is None else (ir.AttrInt64("axis", axis),)
    (value,) = editor.insert("DequantizeLinear", inputs, f"{inputs[0].name}_dequantized", attributes=attributes)
    return value
