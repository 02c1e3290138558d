"""The Transpose behind a float Resize moves before it, where there are fewer numbers to move.

    Transpose(Resize(x, s), p) = Resize(Transpose(x, p), s[p])
Models converted from channels-last frameworks end so: a picture is enlarged, then its channels go last. Whatever
computes in integers before it has its channels last anyway; only behind a float convolution they are not.
"""

import numpy as np
import onnx_ir as ir

from quantseg.lowering.edit import constant, initializer, input_at, only_producer, replace, static_shape

CHANNELS_LAST = (0, 2, 3, 1)
_SCALES, _SIZES = 2, 3


def transpose_before_enlarging(model: ir.Model) -> None:
    """Edits the main graph. Left alone are Resizes that others read as well, and those whose factors are not known."""
    for transpose in list(model.graph):
        if transpose.op_type != "Transpose" or transpose.domain != "" or _order(transpose) != CHANNELS_LAST:
            continue
        resize = only_producer(transpose.inputs[0], transpose, "Resize")
        if resize is None or resize.domain != "" or not _enlarges(resize):
            continue
        inputs = list(resize.inputs)
        for index in (_SCALES, _SIZES):
            numbers = constant(input_at(resize, index))
            if numbers is not None and numbers.size:
                inputs[index] = initializer(model.graph, f"{resize.name}_last_{index}", numbers[list(CHANNELS_LAST)])
        first = ir.node("Transpose", [inputs[0]], {"perm": CHANNELS_LAST}, name=transpose.name)
        second = ir.Node(
            "", "Resize", [first.outputs[0], *inputs[1:]], list(resize.attributes.values()), name=resize.name
        )
        replace(transpose, [first, second], also=[resize])


def _order(node: ir.Node) -> tuple[int, ...]:
    return tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else ()


def _enlarges(node: ir.Node) -> bool:
    """Whether the rows and columns, and they alone, become more, by constant factors; in linear mode, on all axes."""
    if node.attributes.get_string("mode", "nearest") != "linear" or "axes" in node.attributes:
        return False
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
