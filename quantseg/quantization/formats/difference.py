"""a − b as a sum: a negative scale negates an operand, S(q − Z) to −S(q − Z), at no cost.

Runtimes have an integer Add but no integer Sub. Their Add multiplies by a quotient of scales, whatever its sign.
"""

import onnx_ir as ir

from quantseg.quantization.formats.editor import GraphEditor
from quantseg.quantization.formats.interpolation import Calculate, Grid


def emit(editor: GraphEditor, node: ir.Node, calculate: Calculate) -> list[ir.Value]:
    """Inserts the integer form of a Sub and returns its integers."""
    left, right = editor.inputs(node)
    operands = (editor.stored(left), editor.grid(left)), (editor.stored(right), turned(editor, right))
    return [calculate(editor, "Add", operands, editor.grid(node.outputs[0]), str(node.name))]


def turned(editor: GraphEditor, value: ir.Value | None) -> Grid:
    """Scale and zero-point with which the value's integers represent its negative."""
    assert value is not None
    return editor.constant(f"{value.name}_negative_scale", -editor.params(value).scale), editor.grid(value)[1]
