"""ArgMax over classes by comparison of whole class planes.

onnxruntime's own ArgMax works pixel by pixel and takes five times as long on integers (onnxruntime 1.31, 11 classes).
    m, class = x_0, 0      then for each k:  where x_k > m:  m, class = x_k, k      so at ties the first class wins
"""

import numpy as np
import onnx_ir as ir

from quantseg.quantization.formats import direct
from quantseg.quantization.formats.editor import GraphEditor
from quantseg.quantization.operators import IntegerForm
from quantseg.quantization.qtypes import UINT8

MOST_PLANES = 32
"""Most classes for this form, which takes three operators per class; beyond, it is one ArgMax."""


def argmax(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    """The class of each pixel as uint8, if only a Cast reads the result; else ArgMax on the integers."""
    data, axis = editor.inputs(node)[0], node.attributes.get_int("axis", 0)
    shape = () if data is None or data.shape is None else data.shape
    count = shape[axis] if shape else None
    alone = all(user.op_type == "Cast" for user, _ in node.outputs[0].uses()) and not node.outputs[0].is_graph_output()
    plain = not node.attributes.get_int("keepdims", 1) and not node.attributes.get_int("select_last_index", 0)
    known = isinstance(count, int) and 2 <= count <= MOST_PLANES
    if not (known and alone and plain) or editor.plan.settings.activation is not UINT8:
        return direct.moved(editor, node)
    assert isinstance(count, int)
    name = str(node.outputs[0].name)
    attributes = [ir.AttrInt64("axis", axis)]
    if editor.opset >= 18:  # since then a Split into equal parts has num_outputs
        attributes.append(ir.AttrInt64("num_outputs", count))
    planes = [f"{name}_plane_{k}" for k in range(count)]
    largest, *others = editor.insert("Split", [editor.stored(data)], *planes, attributes=attributes)
    ids = [editor.constant(f"{name}_class_{k}", np.full((1,) * len(shape), k, np.uint8)) for k in range(count)]
    found = ids[0]
    for k, plane in enumerate(others, start=1):
        (above,) = editor.insert("Greater", [plane, largest], f"{name}_above_{k}")
        (found,) = editor.insert("Where", [above, ids[k], found], f"{name}_up_to_{k}")
        if k < len(others):
            (largest,) = editor.insert("Where", [above, plane, largest], f"{name}_largest_{k}")
    places = editor.constant(f"{name}_axis", np.array([axis], np.int64))
    return editor.insert("Squeeze", [found, places], f"{name}_quantized", name=node.name)
