"""ArgMax over classes, plane by plane: onnxruntime's own takes the classes of each pixel one after another, on integers
eight times as long (onnxruntime 1.31, eleven classes).

    m = max(x_0, …, x_k)      class = 0 where x_0 = m, else 1 where x_1 = m, …, else k: of equal ones the first
"""

import numpy as np
import onnx_ir as ir

from quantseg.formats import direct
from quantseg.formats.editor import GraphEditor
from quantseg.ops import IntegerForm
from quantseg.qtypes import UINT8

MOST_PLANES = 32
"""With more classes it is one ArgMax again: a plane takes three operators."""


def argmax(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    """The class of each pixel as uint8, where only a Cast reads it; else ArgMax on the integers."""
    data, axis = editor.inputs(node)[0], node.attributes.get_int("axis", 0)
    planes = _planes(data, axis)
    alone = all(user.op_type == "Cast" for user, _ in node.outputs[0].uses()) and not node.outputs[0].is_graph_output()
    plain = not node.attributes.get_int("keepdims", 1) and not node.attributes.get_int("select_last_index", 0)
    if planes is None or not (alone and plain) or editor.plan.settings.activation is not UINT8:
        return direct.moved(editor, node)
    name = str(node.outputs[0].name)
    parts = editor.insert(
        "Split",
        [editor.stored(data)],
        *(f"{name}_plane_{k}" for k in range(planes)),
        attributes=_split(editor.opset, axis, planes),
    )
    (largest,) = editor.insert("Max", parts, f"{name}_largest")
    found = editor.constant(f"{name}_class", np.full((1,) * _rank(data), planes - 1, np.uint8))
    for number in reversed(range(planes - 1)):
        (is_it,) = editor.insert("Equal", [parts[number], largest], f"{name}_is_{number}")
        this = editor.constant(f"{name}_class", np.full((1,) * _rank(data), number, np.uint8))
        (found,) = editor.insert("Where", [is_it, this, found], f"{name}_from_{number}")
    places = editor.constant(f"{name}_axis", np.array([axis], np.int64))
    return editor.insert("Squeeze", [found, places], f"{name}_quantized", name=node.name)


def _planes(value: ir.Value | None, axis: int) -> int | None:
    """How many classes there are, where that is known and not too many."""
    size = None if value is None or value.shape is None else value.shape[axis]
    return size if isinstance(size, int) and 2 <= size <= MOST_PLANES else None


def _rank(value: ir.Value | None) -> int:
    return 0 if value is None or value.shape is None else len(value.shape)


def _split(opset: int, axis: int, planes: int) -> tuple[ir.Attr, ...]:
    """Since opset 18 a Split into equal parts says how many."""
    whole = (ir.AttrInt64("axis", axis),)
    return (*whole, ir.AttrInt64("num_outputs", planes)) if opset >= 18 else whole
