"""A Transpose after an enlarging float Resize is moved before it, where there are fewer elements to move.

    Transpose(Resize(x, s), p) = Resize(Transpose(x, p), s[p])
Models converted from channels-last frameworks end so: logits are enlarged, then transposed to NHWC. The Transpose moves
only where a float operator feeds the Resize: where its input is dequantised from an NHWC tensor, onnxruntime does the
same by itself.

The Resize then names its two spatial axes, which needs opset 18. With all four axes named, OpenVINO does not recognise
an NHWC tensor and takes twelve times as long (30 ms of a DeepLab's 65, on AVX2).
"""

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant, initializer, input_at, only_producer, replace, static_shape
from quantseg.graph.passes import convert

CHANNELS_LAST = (0, 2, 3, 1)
_SCALES, _SIZES = 2, 3
_IMAGE = (1, 2)
"""The axes of rows and columns in NHWC."""
_NAMED_AXES = 18
"""The first opset in which Resize has the attribute axes."""


def transpose_before_enlarging(model: ir.Model) -> None:
    """Edits the main graph, except Resizes with other consumers and those whose factors are not constant.

    If a Transpose moves, the opset becomes at least 18. Raises ModelError for a node without an equivalent in that.
    """
    if all(_resize_before(node) is None for node in model.graph):
        return
    convert(model, _NAMED_AXES)
    for transpose in list(model.graph):
        resize = _resize_before(transpose)
        if resize is None:
            continue
        inputs: list[ir.Value | None] = [None] * len(resize.inputs)  # without roi, which none of these modes reads
        for index in (_SCALES, _SIZES):
            numbers = constant(input_at(resize, index))
            if numbers is not None and numbers.size:
                last = numbers[list(CHANNELS_LAST)][list(_IMAGE)]
                inputs[index] = initializer(model.graph, f"{resize.name}_last_{index}", last)
        first = ir.node("Transpose", [resize.inputs[0]], {"perm": CHANNELS_LAST}, name=transpose.name)
        attributes = (*resize.attributes.values(), ir.AttrInt64s("axes", _IMAGE))
        second = ir.Node("", "Resize", [first.outputs[0], *inputs[1:]], attributes, name=resize.name)
        replace(transpose, [first, second], also=[resize])


def _resize_before(transpose: ir.Node) -> ir.Node | None:
    """The Resize before which the Transpose can be moved with a gain; None without one."""
    if transpose.op_type != "Transpose" or transpose.domain != "" or _order(transpose) != CHANNELS_LAST:
        return None
    resize = only_producer(transpose.inputs[0], transpose, "Resize")
    return resize if resize is not None and _enlarges(resize) and not _of_integers(resize) else None


def _of_integers(node: ir.Node) -> bool:
    """Whether the node's input is dequantised."""
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    return producer is not None and producer.op_type == "DequantizeLinear"


def _order(node: ir.Node) -> tuple[int, ...]:
    return tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else ()


def _enlarges(node: ir.Node) -> bool:
    """Whether the Resize, linear and naming all axes, enlarges only rows and columns, by constant factors."""
    if node.attributes.get_string("mode", "nearest") != "linear" or "axes" in node.attributes:
        return False
    if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return False  # crops by roi, whose axes would have to move as well
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
