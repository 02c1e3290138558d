"""Where the elements of a tensor go in one node: ONNX's movements on numpy arrays, where their way is constant.

Source: ONNX's operator documentation.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, input_at, static_shape

Ids = NDArray[np.int64]
NONE = -1
"""In place of an element that comes from elsewhere."""


def moved(node: ir.Node, index: int, ids: Ids) -> list[tuple[ir.Value, Ids]] | None:
    """The node's outputs with the elements of its input `index` where they go, as `ids` numbers these.

    A Concat puts others beside them, and a Sigmoid computes each in its place. None for a node that does anything else
    than move, whose way is computed at run time, or which the shape does not fit.
    """
    move = _MOVES.get(node.op_type)
    if node.domain not in ("", "ai.onnx") or move is None or (index and node.op_type != "Concat"):
        return None
    try:
        outputs = _joined(node, index, ids) if node.op_type == "Concat" else move(node, ids)
    except (IndexError, ValueError):
        return None
    return None if outputs is None else list(zip(node.outputs, outputs, strict=False))


def _reshaped(node: ir.Node, ids: Ids) -> list[Ids] | None:
    sizes = constant(input_at(node, 1))
    if sizes is None:
        return None
    target = [ids.shape[axis] if size == 0 else int(size) for axis, size in enumerate(sizes.tolist())]
    return [ids.reshape(target)]


def _flattened(node: ir.Node, ids: Ids) -> list[Ids]:
    axis = node.attributes.get_int("axis", 1)
    return [ids.reshape(int(np.prod(ids.shape[:axis])), -1)]


def _turned(node: ir.Node, ids: Ids) -> list[Ids]:
    order = node.attributes.get("perm")
    return [ids.transpose(None if order is None else list(order.as_ints()))]


def _sliced(node: ir.Node, ids: Ids) -> list[Ids] | None:
    starts, ends, axes, steps = (constant(input_at(node, place)) for place in range(1, 5))
    if starts is None or ends is None:
        return None
    along = range(starts.size) if axes is None else axes.reshape(-1).tolist()
    by = np.ones(starts.size, np.int64) if steps is None else steps.reshape(-1)
    if (by < 1).any():
        return None
    window = [slice(None)] * ids.ndim
    for axis, start, end, step in zip(along, starts.tolist(), ends.tolist(), by.tolist(), strict=True):
        window[axis] = slice(start, end, step)
    return [ids[tuple(window)]]


def _split(node: ir.Node, ids: Ids) -> list[Ids] | None:
    axis, sizes = node.attributes.get_int("axis", 0), constant(input_at(node, 1))
    count = len(node.outputs)
    if sizes is None:
        each = -(-ids.shape[axis] // count)
        return np.split(ids, [each * place for place in range(1, count)], axis)
    return np.split(ids, np.cumsum(sizes)[:-1], axis)


def _gathered(node: ir.Node, ids: Ids) -> list[Ids] | None:
    places = constant(input_at(node, 1))
    return None if places is None else [np.take(ids, places, node.attributes.get_int("axis", 0))]


def _squeezed(node: ir.Node, ids: Ids) -> list[Ids] | None:
    axes = constant(input_at(node, 1))
    return None if axes is None else [np.squeeze(ids, tuple(axes.reshape(-1).tolist()))]


def _unsqueezed(node: ir.Node, ids: Ids) -> list[Ids] | None:
    axes = constant(input_at(node, 1))
    return None if axes is None else [np.expand_dims(ids, tuple(axes.reshape(-1).tolist()))]


def _joined(node: ir.Node, index: int, ids: Ids) -> list[Ids] | None:
    shapes: Sequence[tuple[int, ...] | None] = [static_shape(value) for value in node.inputs]
    axis = node.attributes.get_int("axis", 0)
    if any(shape is None for place, shape in enumerate(shapes) if place != index):
        return None
    parts = [ids if place == index else np.full(shape or (), NONE) for place, shape in enumerate(shapes)]
    return [np.concatenate(parts, axis)]


_MOVES: Mapping[str, Callable[[ir.Node, Ids], list[Ids] | None]] = {
    "Concat": lambda node, ids: None,
    "Flatten": _flattened,
    "Gather": _gathered,
    "Identity": lambda node, ids: [ids],
    "Reshape": _reshaped,
    "Sigmoid": lambda node, ids: [ids],
    "Slice": _sliced,
    "Split": _split,
    "Squeeze": _squeezed,
    "Transpose": _turned,
    "Unsqueeze": _unsqueezed,
}
