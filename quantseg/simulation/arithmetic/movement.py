"""Operators that move values without changing them: Reshape, Transpose, Concat, pixel shuffles …; and constants."""

from collections.abc import Sequence

import numpy as np

from quantseg.errors import ModelError
from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.sizes import checked


def axes_of(call: Call, index: int, ndim: int, default: Sequence[int] | None = None) -> tuple[int, ...]:
    """The axes of an operator, non-negative: from input `index`, or in older opsets from the attribute."""
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
    """DepthToSpace with block size s: output channel o at row r, column c of a block is input channel (r·s + c)·C + o
    in mode DCR, and o·s² + r·s + c in mode CRD.
    """
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
    axes = axes_of(call, 1, x.ndim) if given else tuple(i for i, n in enumerate(x.shape) if n == 1)
    if any(x.shape[axis] != 1 for axis in axes):
        raise ModelError(f"axes {list(axes)} of {list(x.shape)} are not all of size 1")
    return (x.reshape([n for i, n in enumerate(x.shape) if i not in axes]),)


def unsqueeze(call: Call) -> tuple[Array, ...]:
    """Unsqueeze."""
    x = call.array(0)
    count = len(call.array(1).reshape(-1) if call.has(1) else call.attributes["axes"])
    return (np.expand_dims(x, axes_of(call, 1, x.ndim + count)),)


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


def shape(call: Call) -> tuple[Array, ...]:
    """Shape."""
    sizes = call.array(0).shape
    return (np.asarray(sizes[call.number("start", 0) : call.attributes.get("end")], np.int64),)


def cast(call: Call) -> tuple[Array, ...]:
    """Cast."""
    return (call.array(0).astype(call.attributes["to"]),)


def constant(call: Call) -> tuple[Array, ...]:
    """Constant."""
    return (np.asarray(next(iter(call.attributes.values()))),)


def constant_of_shape(call: Call) -> tuple[Array, ...]:
    """ConstantOfShape."""
    value = np.asarray(call.attributes.get("value", np.zeros(1, np.float32)))
    return (np.full(checked(call.array(0).tolist(), value.itemsize), value.reshape(())),)


def identity(call: Call) -> tuple[Array, ...]:
    """Identity, and Dropout at inference."""
    return (call.array(0),)


OPERATORS: dict[str, Operator] = {
    "Cast": cast,
    "Concat": concat,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "DepthToSpace": depth_to_space,
    "Dropout": identity,
    "Expand": expand,
    "Flatten": flatten,
    "Identity": identity,
    "Reshape": reshape,
    "Shape": shape,
    "SpaceToDepth": space_to_depth,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
