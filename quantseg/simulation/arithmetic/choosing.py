"""Operators that select or reduce along axes: Slice, Split, Gather, Pad, ArgMax, ReduceMax, ReduceMean …"""

from typing import Any

import numpy as np

from quantseg.errors import ModelError
from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.movement import axes_of
from quantseg.simulation.arithmetic.sizes import checked


def slice_(call: Call) -> tuple[Array, ...]:
    """Slice; before opset 10 starts, ends and axes are attributes."""
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
    checked((*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]), x.itemsize)
    return (np.take(x, places, axis),)


def pad(call: Call) -> tuple[Array, ...]:
    """Pad in the modes constant, edge, reflect and wrap."""
    x = call.array(0)
    flat = call.array(1).tolist() if call.has(1) else list(call.attributes["pads"])
    axes = axes_of(call, 3, x.ndim)
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


def arg_max(call: Call) -> tuple[Array, ...]:
    """ArgMax: the first of equal maxima, or the last with `select_last_index`."""
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
        none = call.number("noop_with_empty_axes", 0)
        axes = axes_of(call, 1, x.ndim, () if none else None)
        if not axes and none:
            return (x,)
        kept = bool(call.number("keepdims", 1))
        return (np.asarray(function(x, axis=axes or None, keepdims=kept), x.dtype),)

    return operator


OPERATORS: dict[str, Operator] = {
    "ArgMax": arg_max,
    "Gather": gather,
    "Pad": pad,
    "ReduceMax": _reduction(np.max),
    "ReduceMean": _reduction(np.mean),
    "ReduceMin": _reduction(np.min),
    "ReduceProd": _reduction(np.prod),
    "ReduceSum": _reduction(np.sum),
    "Slice": slice_,
    "Split": split,
}
