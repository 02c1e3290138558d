"""Operators that move numbers and change none: shapes, axes, parts, borders, pixel shuffles."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantseg.errors import ModelError
from quantseg.simulator.call import Array, Call, Operator
from quantseg.simulator.sizes import checked


def _axes(call: Call, index: int, ndim: int, default: Sequence[int] | None = None) -> tuple[int, ...]:
    """Axes from an operand, or from an attribute as older opsets have it."""
    given = call.maybe(index)
    found = call.attributes.get("axes", default) if given is None else given.tolist()
    if found is None:
        return tuple(range(ndim))
    if any(not -ndim <= axis < ndim for axis in found):
        raise ModelError(f"axes {list(found)} of a tensor of {ndim} axes")
    return tuple(int(axis) % ndim for axis in found)


def concat(call: Call) -> tuple[Array, ...]:
    """Concat."""
    parts = [call.array(i) for i in range(len(call.inputs))]
    axis = call.axis(1, parts[0].ndim)
    if len({part.shape[:axis] + part.shape[axis + 1 :] for part in parts}) > 1 or len({p.ndim for p in parts}) > 1:
        raise ModelError(f"inputs {' and '.join(str(list(part.shape)) for part in parts)} do not fit along axis {axis}")
    return (np.concatenate(parts, axis),)


def depth_to_space(call: Call) -> tuple[Array, ...]:
    """DepthToSpace in both orders: DCR takes channel (r·s + c)·C + o, CRD o·s² + r·s + c, to row r, column c."""
    x, size = call.array(0), call.number("blocksize", 1)
    if x.ndim != 4 or size < 1 or x.shape[1] % size**2:
        raise ModelError(f"input {list(x.shape)} does not split into blocks of {size}x{size}")
    images, channels, height, width = x.shape
    count = channels // size**2
    if call.attributes.get("mode", "DCR") == "DCR":
        moved = x.reshape(images, size, size, count, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        moved = x.reshape(images, count, size, size, height, width).transpose(0, 1, 4, 2, 5, 3)
    return (np.ascontiguousarray(moved).reshape(images, count, height * size, width * size),)


def space_to_depth(call: Call) -> tuple[Array, ...]:
    """SpaceToDepth."""
    x, size = call.array(0), call.number("blocksize", 1)
    if x.ndim != 4 or size < 1 or x.shape[2] % size or x.shape[3] % size:
        raise ModelError(f"input {list(x.shape)} does not split into blocks of {size}x{size}")
    images, channels, height, width = x.shape
    moved = x.reshape(images, channels, height // size, size, width // size, size).transpose(0, 3, 5, 1, 2, 4)
    return (np.ascontiguousarray(moved).reshape(images, channels * size**2, height // size, width // size),)


def reshape(call: Call) -> tuple[Array, ...]:
    """Reshape."""
    x, wanted = call.array(0), call.array(1).tolist() if call.has(1) else list(call.attributes["shape"])
    copied = 0 if call.number("allowzero", 0) else len(x.shape)
    shape = [x.shape[i] if n == 0 and i < copied else n for i, n in enumerate(wanted)]
    try:
        return (x.reshape(shape),)
    except ValueError as error:
        raise ModelError(f"input {list(x.shape)} does not fit shape {wanted}") from error


def transpose(call: Call) -> tuple[Array, ...]:
    """Transpose."""
    x = call.array(0)
    order = call.attributes.get("perm") or tuple(reversed(range(x.ndim)))
    if sorted(order) != list(range(x.ndim)):
        raise ModelError(f"input {list(x.shape)} does not fit perm {list(order)}")
    return (np.ascontiguousarray(x.transpose(order)),)


def flatten(call: Call) -> tuple[Array, ...]:
    """Flatten."""
    x = call.array(0)
    axis = call.number("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return (x.reshape(int(np.prod(x.shape[:axis])), -1),)


def squeeze(call: Call) -> tuple[Array, ...]:
    """Squeeze."""
    x = call.array(0)
    given = call.has(1) or "axes" in call.attributes
    axes = _axes(call, 1, x.ndim) if given else tuple(i for i, n in enumerate(x.shape) if n == 1)
    if any(x.shape[axis] != 1 for axis in axes):
        raise ModelError(f"axes {list(axes)} of {list(x.shape)} are not all of size 1")
    return (x.reshape([n for i, n in enumerate(x.shape) if i not in axes]),)


def unsqueeze(call: Call) -> tuple[Array, ...]:
    """Unsqueeze."""
    x = call.array(0)
    count = len(call.array(1).reshape(-1) if call.has(1) else call.attributes["axes"])
    return (np.expand_dims(x, _axes(call, 1, x.ndim + count)),)


def slice_(call: Call) -> tuple[Array, ...]:
    """Slice; before opset 10 its limits are attributes."""
    x = call.array(0)
    if call.opset < 10:
        starts, ends = call.attributes["starts"], call.attributes["ends"]
        axes, steps = call.attributes.get("axes", range(len(starts))), [1] * len(starts)
    else:
        starts, ends = call.array(1).tolist(), call.array(2).tolist()
        axes = call.array(3).tolist() if call.has(3) else range(len(starts))
        steps = call.array(4).tolist() if call.has(4) else [1] * len(starts)
    where = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        stop: int | None = end
        if step < 0 and end < -size:
            stop = None
        where[axis] = slice(start, stop, step)
    return (x[tuple(where)],)


def split(call: Call) -> tuple[Array, ...]:
    """Split."""
    x = call.array(0)
    axis = call.axis(0, x.ndim)
    sizes = call.array(1).tolist() if call.has(1) else call.attributes.get("split")
    if sizes is None:
        count = call.number("num_outputs", call.outputs)
        each = -(-x.shape[axis] // count)
        sizes = [each] * (count - 1) + [x.shape[axis] - each * (count - 1)]
    if sum(sizes) != x.shape[axis]:
        raise ModelError(f"input {list(x.shape)} does not split into {list(sizes)} along axis {axis}")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


def gather(call: Call) -> tuple[Array, ...]:
    """Gather."""
    x, places = call.array(0), call.array(1)
    axis = call.axis(0, x.ndim)
    if places.size and not (-x.shape[axis] <= places.min() and places.max() < x.shape[axis]):
        raise ModelError(f"places up to {places.max()} along axis {axis} of {list(x.shape)}")
    return (np.take(x, places, axis),)


def expand(call: Call) -> tuple[Array, ...]:
    """Expand."""
    x, wanted = call.array(0), call.array(1).tolist()
    try:
        return (np.broadcast_to(x, checked(np.broadcast_shapes(x.shape, tuple(wanted)), x.itemsize)),)
    except ValueError as error:
        raise ModelError(f"input {list(x.shape)} does not fit shape {wanted}") from error


def tile(call: Call) -> tuple[Array, ...]:
    """Tile."""
    x, times = call.array(0), call.array(1).tolist()
    if len(times) != x.ndim:
        raise ModelError(f"input {list(x.shape)} does not fit repeats {times}")
    checked([size * count for size, count in zip(x.shape, times, strict=True)], x.itemsize)
    return (np.tile(x, times),)


def pad(call: Call) -> tuple[Array, ...]:
    """Pad: with a constant, the border's own numbers, a reflection, or the other side."""
    x = call.array(0)
    flat = call.array(1).tolist() if call.has(1) else list(call.attributes["pads"])
    axes = _axes(call, 3, x.ndim)
    if len(flat) != 2 * len(axes):
        raise ModelError(f"input {list(x.shape)} does not fit pads {flat}")
    widths = [(0, 0)] * x.ndim
    for axis, low, high in zip(axes, flat[: len(axes)], flat[len(axes) :], strict=True):
        widths[axis] = (low, high)
    where = tuple(slice(max(-low, 0), n - max(-high, 0)) for n, (low, high) in zip(x.shape, widths, strict=True))
    grown = [(max(low, 0), max(high, 0)) for low, high in widths]
    kept = x[where]
    checked([n + low + high for n, (low, high) in zip(kept.shape, grown, strict=True)], x.itemsize)
    mode = call.attributes.get("mode", "constant")
    if mode == "constant":
        fill = call.array(2).reshape(()) if call.has(2) else call.attributes.get("value", 0)
        return (np.pad(kept, grown, constant_values=fill),)
    return (np.pad(kept, grown, mode={"edge": "edge", "reflect": "reflect", "wrap": "wrap"}[mode]),)  # type: ignore[call-overload]


def shape(call: Call) -> tuple[Array, ...]:
    """Shape."""
    sizes = call.array(0).shape
    return (np.asarray(sizes[call.number("start", 0) : call.attributes.get("end")], np.int64),)


def cast(call: Call) -> tuple[Array, ...]:
    """Cast to another type of number."""
    return (call.array(0).astype(call.attributes["to"]),)


def constant(call: Call) -> tuple[Array, ...]:
    """Constant."""
    return (np.asarray(next(iter(call.attributes.values()))),)


def constant_of_shape(call: Call) -> tuple[Array, ...]:
    """ConstantOfShape."""
    value = np.asarray(call.attributes.get("value", np.zeros(1, np.float32)))
    return (np.full(checked(call.array(0).tolist(), value.itemsize), value.reshape(())),)


def identity(call: Call) -> tuple[Array, ...]:
    """Identity, and Dropout as it is in use."""
    return (call.array(0),)


def arg_max(call: Call) -> tuple[Array, ...]:
    """ArgMax: of equal numbers the first, or the last where `select_last_index` says so."""
    x = call.array(0)
    axis = call.axis(0, x.ndim)
    if call.number("select_last_index", 0):
        found = x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis)
    else:
        found = np.argmax(x, axis)
    return (np.expand_dims(found, axis) if call.number("keepdims", 1) else found,)


def _reduction(function: Any) -> Operator:
    def operator(call: Call) -> tuple[Array, ...]:
        x = call.array(0)
        axes = _axes(call, 1, x.ndim)
        if not axes and call.number("noop_with_empty_axes", 0):
            return (x,)
        kept = bool(call.number("keepdims", 1))
        return (np.asarray(function(x, axis=axes or None, keepdims=kept), x.dtype),)

    return operator


OPERATORS: dict[str, Operator] = {
    "ArgMax": arg_max,
    "Cast": cast,
    "Concat": concat,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "DepthToSpace": depth_to_space,
    "Dropout": identity,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Identity": identity,
    "Pad": pad,
    "ReduceMax": _reduction(np.max),
    "ReduceMean": _reduction(np.mean),
    "ReduceMin": _reduction(np.min),
    "ReduceSum": _reduction(np.sum),
    "Reshape": reshape,
    "Shape": shape,
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
