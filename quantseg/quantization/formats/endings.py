"""The Transpose behind a float Resize moves before it, where there are fewer numbers to move.

    Transpose(Resize(x, s), p) = Resize(Transpose(x, p), s[p])
Models converted from channels-last frameworks end so: a image is enlarged, then its channels go last. It moves only
behind a float operator, a last convolution say: onnxruntime does the same by itself where the image comes from
integers, whose channels are last anyway.

The Resize then names its two axes, as opset 18 can, and the model is of that. Told of all four axes OpenVINO does not
see a image with its channels last, and takes twelve times as long for it (30 ms of a DeepLab's 65, on AVX2).
"""

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant, initializer, input_at, only_producer, replace, static_shape
from quantseg.graph.passes import convert

CHANNELS_LAST = (0, 2, 3, 1)
_SCALES, _SIZES = 2, 3
_PICTURE = (1, 2)
"""Rows and columns, where channels are last."""
_NAMED_AXES = 18
"""The opset that lets a Resize name its axes."""


def transpose_before_enlarging(model: ir.Model) -> None:
    """Edits the main graph. Left alone are Resizes that others read as well, and those whose factors are not known.

    Where one moves, the opset becomes at least 18. Raises ModelError for a node that has no equal in that.
    """
    if all(_resize_before(node) is None for node in model.graph):
        return
    convert(model, _NAMED_AXES)
    for transpose in list(model.graph):
        resize = _resize_before(transpose)
        if resize is None:
            continue
        inputs: list[ir.Value | None] = [None] * len(resize.inputs)  # without regions: no mode that reads them
        for index in (_SCALES, _SIZES):
            numbers = constant(input_at(resize, index))
            if numbers is not None and numbers.size:
                last = numbers[list(CHANNELS_LAST)][list(_PICTURE)]
                inputs[index] = initializer(model.graph, f"{resize.name}_last_{index}", last)
        first = ir.node("Transpose", [resize.inputs[0]], {"perm": CHANNELS_LAST}, name=transpose.name)
        attributes = (*resize.attributes.values(), ir.AttrInt64s("axes", _PICTURE))
        second = ir.Node("", "Resize", [first.outputs[0], *inputs[1:]], attributes, name=resize.name)
        replace(transpose, [first, second], also=[resize])


def _resize_before(transpose: ir.Node) -> ir.Node | None:
    """The Resize that the Transpose can move before, and gains by it."""
    if transpose.op_type != "Transpose" or transpose.domain != "" or _order(transpose) != CHANNELS_LAST:
        return None
    resize = only_producer(transpose.inputs[0], transpose, "Resize")
    return resize if resize is not None and _enlarges(resize) and not _of_integers(resize) else None


def _of_integers(node: ir.Node) -> bool:
    """Whether what it reads is dequantised."""
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    return producer is not None and producer.op_type == "DequantizeLinear"


def _order(node: ir.Node) -> tuple[int, ...]:
    return tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else ()


def _enlarges(node: ir.Node) -> bool:
    """Whether the rows and columns, and they alone, become more, by constant factors; in linear mode, on all axes."""
    if node.attributes.get_string("mode", "nearest") != "linear" or "axes" in node.attributes:
        return False
    if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return False  # a region is cut out, whose axes would move as well
    scales, sizes, known = (
        constant(input_at(node, _SCALES)),
        constant(input_at(node, _SIZES)),
        static_shape(node.inputs[0]),
    )
    if scales is not None and scales.size == 4:
        factors = scales.astype(np.float64)
    elif sizes is not None and sizes.size == 4 and known is not None:
        factors = sizes / np.array(known, np.float64)
    else:
        return False
    return bool((factors[:2] == 1).all() and (factors >= 1).all() and factors.prod() > 1)
