"""What a model does with the image before its first convolutions: scale, shift, transpose axes, reorder channels.

These nodes are traced from the input to the convolutions, and summed up, with the recipe's preprocessing, as one scale,
one shift and one source channel of the image for each channel that a convolution reads.
"""

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant
from quantseg.graph.passes.linear import linear

F64 = NDArray[np.float64]
CHANNELS_FIRST, CHANNELS_LAST = (0, 3, 1, 2), (0, 1, 2, 3)


@dataclass(frozen=True, eq=False)
class View:
    """A tensor whose channel c is scale[c]·pixel[source[c]] + shift[c] at every pixel.

    axes: for each axis of the tensor the corresponding axis of the image (N, H, W, C).
    """

    value: ir.Value
    axes: tuple[int, ...]
    source: tuple[int, ...]
    scale: F64
    shift: F64


def convolutions(view: View) -> list[tuple[ir.Node, View]] | None:
    """The convolutions that read the image, each with its view of it; None where other nodes read it too."""
    found: list[tuple[ir.Node, View]] = []
    for node, index in view.value.uses():
        reached = reached_by(view, node, index)
        if reached is None:
            return None
        found += reached
    return None if view.value.is_graph_output() else found


def reached_by(view: View, node: ir.Node, index: int) -> list[tuple[ir.Node, View]] | None:
    """The convolutions reached through one consumer of the image, or that consumer; None where there are others."""
    behind = _behind(view, node)
    inner = None if behind is None else convolutions(behind)
    if inner is not None:
        return inner
    return [(node, view)] if index == 0 and _is_convolution(view, node) else None


def _is_convolution(view: View, node: ir.Node) -> bool:
    kernel = linear(node) if node.op_type == "Conv" and node.domain == "" else None
    return kernel is not None and view.axes[:2] == CHANNELS_FIRST[:2] and kernel.inputs == len(view.source)


def _behind(view: View, node: ir.Node) -> View | None:
    """The node's output as a view, given its input as a view; None where it is not one."""
    if node.domain != "" or len(node.outputs) != 1:
        return None
    output = node.outputs[0]
    if node.op_type == "Transpose" and "perm" in node.attributes:
        return replace(view, value=output, axes=tuple(view.axes[axis] for axis in node.attributes["perm"].as_ints()))
    if node.op_type == "Gather":
        return _chosen(view, node)
    scaled = _depthwise(view, node) if node.op_type == "Conv" else _arithmetic(view, node)
    if scaled is None:
        return None
    scale, shift = scaled
    return replace(view, value=output, scale=view.scale * scale, shift=view.shift * scale + shift)


def _chosen(view: View, node: ir.Node) -> View | None:
    """The view after a node that reorders or selects channels; None for other nodes."""
    places = constant(node.inputs[1])
    if places is None or places.ndim != 1 or node.inputs[0] is not view.value:
        return None
    if view.axes[node.attributes.get_int("axis", 0)] != 3:
        return None
    return replace(
        view,
        value=node.outputs[0],
        source=tuple(view.source[place] for place in places),
        scale=view.scale[places],
        shift=view.shift[places],
    )


def _depthwise(view: View, node: ir.Node) -> tuple[F64, F64] | None:
    """Scale and shift of a 1x1 depthwise convolution without padding, as BatchNormalization becomes; else None."""
    kernel = linear(node)
    channels = len(view.source)
    if kernel is None or view.axes[:2] != CHANNELS_FIRST[:2] or kernel.kernel.shape != (channels, 1, 1, 1, 1):
        return None
    pads, strides = (node.attributes[key].as_ints() if key in node.attributes else () for key in ("pads", "strides"))
    return None if any(pads) or set(strides) - {1} else (kernel.kernel.reshape(-1), kernel.bias)


def _arithmetic(view: View, node: ir.Node) -> tuple[F64, F64] | None:
    """Scale and shift of arithmetic with per-channel constants, whatever the channel axis; else None."""
    if node.op_type not in ("Add", "Sub", "Mul", "Div"):
        return None
    left, right = (constant(value) for value in node.inputs)
    array = right if node.inputs[0] is view.value else left
    if array is None or array.dtype != np.float32 or array.ndim > len(view.axes):
        return None
    sizes = (1,) * (len(view.axes) - array.ndim) + array.shape
    channels = len(view.source)
    if sizes[view.axes.index(3)] not in (1, channels) or array.size != sizes[view.axes.index(3)]:
        return None
    vector = np.broadcast_to(array.reshape(-1).astype(np.float64), (channels,))
    ones, zeros = np.ones(channels), np.zeros(channels)
    if node.op_type == "Add":
        return ones, vector
    if node.op_type == "Mul":
        return vector, zeros
    if node.op_type == "Sub":
        return (ones, -vector) if right is array else (-ones, vector)
    return (1 / vector, zeros) if right is array and vector.all() else None
