"""Operators that move, repeat, join or select numbers, and conversions of types."""

from collections.abc import Mapping

import numpy as np

from quantseg.errors import ModelError
from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.litert.operands import Operands
from quantseg.simulation.arithmetic.sizes import checked


def reshape(call: Call) -> tuple[Array, ...]:
    """RESHAPE."""
    return (call.array(0).reshape(Operands.of(call).shape),)


def transpose(call: Call) -> tuple[Array, ...]:
    """TRANSPOSE."""
    return (np.ascontiguousarray(call.array(0).transpose(call.array(1))),)


def concatenation(call: Call) -> tuple[Array, ...]:
    """CONCATENATION; in integers all tensors are on one grid."""
    parts = [part for part in call.inputs if part is not None]
    return (np.concatenate(parts, axis=Operands.of(call).option("axis")),)


def split(call: Call) -> tuple[Array, ...]:
    """SPLIT into equal parts; the axis comes first."""
    return tuple(np.split(call.array(1), Operands.of(call).option("num_splits"), axis=int(call.array(0).reshape(()))))


def split_by(call: Call) -> tuple[Array, ...]:
    """SPLIT_V into parts of these sizes."""
    places = np.cumsum(call.array(1).reshape(-1))[:-1]
    return tuple(np.split(call.array(0), places, axis=int(call.array(2).reshape(()))))


def cut_out(call: Call) -> tuple[Array, ...]:
    """SLICE; a size of −1 means to the end."""
    begins, sizes = call.array(1), call.array(2)
    parts = (
        slice(int(begin), None if size < 0 else int(begin + size)) for begin, size in zip(begins, sizes, strict=True)
    )
    return (call.array(0)[tuple(parts)],)


def strided_slice(call: Call) -> tuple[Array, ...]:
    """STRIDED_SLICE by positive steps, without masks."""
    limits = zip(*(call.array(index) for index in range(1, 4)), strict=True)
    return (call.array(0)[tuple(slice(int(a), int(b), int(step)) for a, b, step in limits)],)


def gather(call: Call) -> tuple[Array, ...]:
    """GATHER."""
    return (call.array(0).take(call.array(1), axis=Operands.of(call).option("axis")),)


def broadcast(call: Call) -> tuple[Array, ...]:
    """BROADCAST_TO."""
    return (np.broadcast_to(call.array(0), Operands.of(call).shape),)


def tile(call: Call) -> tuple[Array, ...]:
    """TILE."""
    repeats = tuple(int(n) for n in call.array(1))
    checked([size * n for size, n in zip(call.array(0).shape, repeats, strict=True)])
    return (np.tile(call.array(0), repeats),)


def pad(call: Call) -> tuple[Array, ...]:
    """PAD with zero, as the grid stores it; PADV2 with a number."""
    operands = Operands.of(call)
    own = call.maybe(2)
    grid = call.attributes["given"]
    zero = 0 if grid is None else int(grid.zero_point)
    fill = zero if own is None else own.reshape(()).item()
    checked(operands.shape)
    if tuple(n + sum(width) for n, width in zip(call.array(0).shape, _widths(call), strict=True)) != operands.shape:
        raise ModelError("its padding does not lead to the shape that the file states")
    return (np.pad(call.array(0), _widths(call), constant_values=fill).astype(operands.dtype),)


def mirror_pad(call: Call) -> tuple[Array, ...]:
    """MIRROR_PAD without the border itself."""
    return (np.pad(call.array(0), _widths(call), mode="reflect"),)


def _widths(call: Call) -> list[tuple[int, int]]:
    return [(int(before), int(after)) for before, after in call.array(1)]


def depth_to_space(call: Call) -> tuple[Array, ...]:
    """DEPTH_TO_SPACE: channel (r·b + c)·C + o of a pixel goes to row r and column c of its block."""
    data, block = call.array(0), Operands.of(call).option("block_size")
    count, height, width, channels = data.shape
    apart = data.reshape(count, height, width, block, block, channels // block**2)
    return (apart.transpose(0, 1, 3, 2, 4, 5).reshape(count, height * block, width * block, -1),)


def space_to_depth(call: Call) -> tuple[Array, ...]:
    """SPACE_TO_DEPTH, the inverse."""
    data, block = call.array(0), Operands.of(call).option("block_size")
    count, height, width, channels = data.shape
    apart = data.reshape(count, height // block, block, width // block, block, channels)
    return (apart.transpose(0, 1, 3, 2, 4, 5).reshape(count, height // block, width // block, -1),)


def cast(call: Call) -> tuple[Array, ...]:
    """CAST."""
    return (call.array(0).astype(Operands.of(call).dtype),)


def argmax(call: Call) -> tuple[Array, ...]:
    """ARG_MAX: at ties the first."""
    return (call.array(0).argmax(axis=int(call.array(1).reshape(()))).astype(Operands.of(call).dtype),)


OPERATORS: Mapping[str, Operator] = {
    "RESHAPE": reshape,
    "TRANSPOSE": transpose,
    "CONCATENATION": concatenation,
    "SPLIT": split,
    "SPLIT_V": split_by,
    "SLICE": cut_out,
    "STRIDED_SLICE": strided_slice,
    "GATHER": gather,
    "BROADCAST_TO": broadcast,
    "TILE": tile,
    "PAD": pad,
    "PADV2": pad,
    "MIRROR_PAD": mirror_pad,
    "DEPTH_TO_SPACE": depth_to_space,
    "SPACE_TO_DEPTH": space_to_depth,
    "CAST": cast,
    "ARG_MAX": argmax,
}
