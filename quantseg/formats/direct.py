"""Operators that are written on the integers as they are in every format: no runtime fuses their QDQ form."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from quantseg.formats.editor import GraphEditor


def moved(editor: GraphEditor, node: ir.Node) -> list[ir.Value]:
    """The same operator on the integers of its data inputs."""
    form = editor.form(node)
    inputs = list(editor.inputs(node))
    for index in form.data:
        inputs[index] = editor.stored(inputs[index])
    return _inserted(editor, node, inputs)


def _where(editor: GraphEditor, node: ir.Node) -> list[ir.Value]:
    """Where with the zero-point for real zero, in zero's shape."""
    form = editor.form(node)
    kept = form.data[0]
    inputs = [node.inputs[0], *editor.inputs(node)[1:]]  # the condition may be of a node that was replaced
    zero = inputs[3 - kept]
    assert zero is not None
    assert zero.const_value is not None
    zero_point = editor.params(inputs[kept]).zero_point
    inputs[3 - kept] = editor.zero_point(np.broadcast_to(zero_point, zero.const_value.shape.numpy()))
    inputs[kept] = editor.stored(inputs[kept])
    return _inserted(editor, node, inputs)


def _inserted(editor: GraphEditor, node: ir.Node, inputs: list[ir.Value | None]) -> list[ir.Value]:
    names = (f"{output.name}_quantized" for output in node.outputs)
    return editor.insert(node.op_type, inputs, *names, name=node.name, attributes=tuple(node.attributes.values()))


WRITERS: dict[str, Callable[[GraphEditor, ir.Node], list[ir.Value]]] = {
    "Equal": moved,
    "Split": moved,  # a runtime fuses it only where every part is read
    "Where": _where,
}
