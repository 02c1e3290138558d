"""Resize: nearest and bilinear where LiteRT has the same coordinates; other nearest ones by constant indices."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, input_at
from quantseg.quantization.formats.litert.editor import Editor
from quantseg.quantization.formats.litert.layout import NHWC
from quantseg.quantization.formats.litert.writers.attributes import refused
from quantseg.quantization.formats.litert.writers.movement import gathered

_HALF_PIXEL = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")


def resize(editor: Editor, node: ir.Node) -> None:
    """Resize of images (N, C, H, W) in height and width."""
    before, after = editor.shape(node.inputs[0]), editor.shape(node.outputs[0])
    if len(before) != 4 or before[:2] != after[:2]:
        raise refused(node, "resizes other axes than height and width")
    if node.attributes.get_int("antialias", 0) and any(b > a for b, a in zip(before, after, strict=True)):
        raise refused(node, "averages when it shrinks (antialias), LiteRT does not")
    mode = node.attributes.get_string("mode", "nearest")
    if mode == "nearest":
        _nearest(editor, node, before, after)
    elif mode == "linear":
        _bilinear(editor, node, before, after)
    else:
        raise refused(node, f"interpolates by {mode}, LiteRT does linearly", "use bilinear")


def _bilinear(editor: Editor, node: ir.Node, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    mode = _mode(node)
    if mode != "align_corners" and not _scales_are_sizes(node, before, after):
        raise refused(node, "its scales are not the ratio of its sizes", "give sizes instead")
    single = mode == "pytorch_half_pixel" and 1 in after[2:] and before[2:] != (1, 1)
    if mode not in (*_HALF_PIXEL, "align_corners", "asymmetric") or single:
        raise refused(node, f"has {mode} coordinates, LiteRT has not", "use half_pixel or align_corners")
    integer = editor.is_integer(node)
    source = editor.read(node.inputs[0], NHWC, integer=integer)
    result = editor.result(node.outputs[0], NHWC, integer=integer)
    options = {"align_corners": mode == "align_corners", "half_pixel_centers": mode in _HALF_PIXEL}
    editor.insert("RESIZE_BILINEAR", [source, editor.ints(after[2:])], result, options)


def _nearest(editor: Editor, node: ir.Node, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    integer = editor.is_integer(node)
    source = editor.read(node.inputs[0], NHWC, integer=integer)
    result = editor.result(node.outputs[0], NHWC, integer=integer)
    scales = _scales(node, before, after)
    wanted = [_indices(node, before[axis], after[axis], scales[axis - 2]) for axis in (2, 3)]
    for options in ({}, {"half_pixel_centers": True}):
        if all(np.array_equal(wanted[i], _litert(before[2 + i], after[2 + i], **options)) for i in range(2)):
            editor.insert("RESIZE_NEAREST_NEIGHBOR", [source, editor.ints(after[2:])], result, options)
            return
    rows = editor.like(source, f"{result.name}_rows", shape=(before[0], after[2], before[3], before[1]))
    gathered(editor, gathered(editor, source, wanted[0], 1, rows), wanted[1], 2, result)


def _litert(size: int, given: int, *, half_pixel_centers: bool = False) -> NDArray[np.int64]:
    """The pixels that LiteRT's kernel copies, in its float32 arithmetic."""
    scale = np.float32(size) / np.float32(given)
    at = np.arange(given, dtype=np.float32)
    position = (at + np.float32(0.5)) * scale if half_pixel_centers else at * scale
    found: NDArray[np.int64] = np.minimum(np.floor(position).astype(np.int64), size - 1)
    return found


def _indices(node: ir.Node, size: int, given: int, scale: float) -> NDArray[np.int64]:
    """The pixel that ONNX copies to each output pixel of an axis. Source: ONNX, Resize."""
    mode, rounding = _mode(node), node.attributes.get_string("nearest_mode", "round_prefer_floor")
    at = np.arange(given, dtype=np.float64)
    if mode == "align_corners":
        position = at * (size - 1) / (given - 1) if given > 1 else np.zeros(given)
    elif mode == "asymmetric":
        position = at / scale
    elif mode in _HALF_PIXEL:
        position = np.zeros(given) if mode == "pytorch_half_pixel" and given == 1 else (at + 0.5) / scale - 0.5
    else:
        raise refused(node, f"has {mode} coordinates, LiteRT has not", "use half_pixel or align_corners")
    rounded = {
        "floor": np.floor(position),
        "ceil": np.ceil(position),
        "round_prefer_floor": np.ceil(position - 0.5),
        "round_prefer_ceil": np.floor(position + 0.5),
    }[rounding]
    return np.clip(rounded, 0, size - 1).astype(np.int64)


def _mode(node: ir.Node) -> str:
    return node.attributes.get_string("coordinate_transformation_mode", "half_pixel")


def _scales(node: ir.Node, before: tuple[int, ...], after: tuple[int, ...]) -> tuple[float, float]:
    """Scales of height and width: as given, else from the sizes."""
    found = constant(input_at(node, 2))
    if found is None or found.size not in (2, 4):
        return after[2] / before[2], after[3] / before[3]
    return float(found.reshape(-1)[-2]), float(found.reshape(-1)[-1])


def _scales_are_sizes(node: ir.Node, before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    ratios = (after[2] / before[2], after[3] / before[3])
    return bool(np.allclose(_scales(node, before, after), ratios, rtol=1e-6))
