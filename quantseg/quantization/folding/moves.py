"""Nodes that only move pixels, and so can be applied to a mask instead of to all classes.

They are Transpose, nearest Resize, Reshape and Squeeze.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant, input_at, static_shape
from quantseg.quantization.folding.building import Builder


@dataclass(frozen=True)
class MovingNode:
    """A node that moves pixels. before, after: the class axis of its input and its output; None without one."""

    node: ir.Node
    before: int | None
    after: int | None

    def whole(self, build: Builder, value: ir.Value) -> ir.Value:
        """The same movement applied to another tensor with the same axes."""
        return build.node(self.node.op_type, [value, *self.node.inputs[1:]], **self.node.attributes)

    def without_classes(self, build: Builder, value: ir.Value) -> ir.Value:
        """The same movement applied to a tensor without the class axis."""
        if self.before is None or self.after is None:
            return self.whole(build, value)
        if self.node.op_type == "Transpose":
            order = [axis - (axis > self.before) for axis in _order(self.node) if axis != self.before]
            return value if order == sorted(order) else build.node("Transpose", [value], perm=order)
        if self.node.op_type == "Reshape":
            sizes = list(static_shape(self.node.outputs[0]) or ())
            del sizes[self.after]
            return build.node("Reshape", [value, build.constant("sizes", sizes, np.int64)])
        axis = build.constant("axis", [self.before], np.int64)  # an axis of size 1, as four axes have a fast kernel
        resized = _resized(self.node, build, build.node("Unsqueeze", [value, axis]), self.before)
        return build.node("Squeeze", [resized, axis])


def move_of(node: ir.Node, after: int | None) -> MovingNode | None:
    """The node as a movement, where the classes are on axis `after` of its output; None for other nodes."""
    if node.domain != "" or len(node.outputs) != 1:
        return None
    if node.op_type == "Transpose" and "perm" in node.attributes:
        return MovingNode(node, None if after is None else _order(node)[after], after)
    if node.op_type == "Resize" and _is_nearest(node):
        return MovingNode(node, after, after) if after is None or _keeps(node, after) else None
    if node.op_type in ("Reshape", "Squeeze") and after is None:
        return MovingNode(node, None, None)
    if node.op_type == "Reshape" and after is not None:
        before = _same_axis(static_shape(node.outputs[0]), static_shape(node.inputs[0]), after)
        return None if before is None else MovingNode(node, before, after)
    return None


def _order(node: ir.Node) -> tuple[int, ...]:
    return tuple(node.attributes["perm"].as_ints())


def _is_nearest(node: ir.Node) -> bool:
    mode = node.attributes.get_string("mode", "nearest")
    coordinates = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    plain = coordinates != "tf_crop_and_resize" and "axes" not in node.attributes
    return (mode, policy) == ("nearest", "stretch") and plain


def _keeps(node: ir.Node, axis: int) -> bool:
    shapes = [None if value is None else value.shape for value in (node.inputs[0], node.outputs[0])]
    sizes = [None if shape is None else shape[axis] for shape in shapes]
    return isinstance(sizes[0], int) and sizes[0] == sizes[1]


def _resized(node: ir.Node, build: Builder, value: ir.Value, axis: int) -> ir.Value:
    """The Resize applied to a tensor with class axis of size 1; where it has explicit sizes, that axis's becomes 1."""
    inputs, sizes = [value, *node.inputs[1:]], input_at(node, 3)
    if sizes is not None:
        known = constant(sizes)
        if known is not None:
            inputs[3] = build.constant("sizes", [1 if k == axis else size for k, size in enumerate(known)], np.int64)
        else:
            rank = len(node.inputs[0].shape or ()) if node.inputs[0] is not None else 0
            chosen = build.constant("is_class", [k == axis for k in range(rank)], np.bool_)
            inputs[3] = build.node("Where", [chosen, build.constant("one", [1], np.int64), sizes])
    return build.node("Resize", inputs, **node.attributes)


def _same_axis(after: tuple[int, ...] | None, before: tuple[int, ...] | None, axis: int) -> int | None:
    """The axis of shape `before` that a Reshape keeps as `axis` of shape `after`; None where it splits or merges it."""
    if after is None or before is None:
        return None
    fits = (
        place
        for place, size in enumerate(before)
        if size == after[axis] and math.prod(before[:place]) == math.prod(after[:axis])
    )
    return next(fits, None)
