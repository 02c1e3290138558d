"""Pad: with a constant, by reflection or by repetition; negative widths crop."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from quantseg.files.tflite.schema import REFLECT
from quantseg.quantization.formats.litert.editor import Editor
from quantseg.quantization.formats.litert.network import Tensor
from quantseg.quantization.formats.litert.writers.attributes import axes_of, numbers, refused
from quantseg.quantization.formats.litert.writers.movement import gathered
from quantseg.quantization.formats.litert.writers.windows import pad as padded


def pad(editor: Editor, node: ir.Node) -> None:
    """Pad with a constant or by reflection."""
    integer, mode = editor.is_integer(node), node.attributes.get_string("mode", "constant")
    source = editor.at_hand(node.inputs[0], integer=integer)
    rank, given, fill = len(source.order), numbers(node, 1), numbers(node, 2)
    assert given is not None
    named = [axis % rank for axis in axes_of(node, 3)] or list(range(rank))
    widths = [(0, 0)] * rank
    for place, axis in enumerate(named):
        widths[axis] = (int(given[place]), int(given[len(named) + place]))
    turned = [widths[axis] for axis in source.order]
    kept = _cropped(editor, source.tensor, turned)
    added = [(max(before, 0), max(after, 0)) for before, after in turned]
    result = editor.result(node.outputs[0], source.order, integer=integer)
    if mode == "constant":
        value = None if fill is None or not fill.any() else float(fill.reshape(()))
        editor.renamed(padded(editor, kept, added, value), result)
    elif mode == "reflect":
        editor.insert("MIRROR_PAD", [kept, editor.constant(np.array(added, np.int32))], result, {"mode": REFLECT})
    elif mode == "edge":
        for axis, (before, after) in enumerate(added):
            indices = np.clip(np.arange(-before, kept.shape[axis] + after), 0, kept.shape[axis] - 1)
            shape = tuple(len(indices) if place == axis else size for place, size in enumerate(kept.shape))
            if before or after:
                kept = gathered(editor, kept, indices, axis, editor.like(kept, f"{result.name}_wider", shape=shape))
        editor.insert("RESHAPE", [kept, editor.ints(kept.shape)], result)
    else:
        raise refused(node, f"pads by {mode}, which is not written for LiteRT")


def _cropped(editor: Editor, source: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """The tensor without what negative widths take away."""
    if min(min(width) for width in widths) >= 0:
        return source
    begin = [max(-before, 0) for before, _ in widths]
    shape = tuple(
        size + min(before, 0) + min(after, 0) for size, (before, after) in zip(source.shape, widths, strict=True)
    )
    result = editor.like(source, f"{source.name}_cropped", shape=shape)
    return editor.insert("SLICE", [source, editor.ints(begin), editor.ints(shape)], result)
