"""Where the windows of convolutions and pools lie: kernel, strides, dilations and pads of ONNX."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.simulation.arithmetic.sizes import checked

Array = NDArray[Any]
Index = tuple[Any, ...]
"""An Ellipsis, and a slice for each spatial axis."""


@dataclass(frozen=True)
class Windows:
    """Windows over the spatial axes of (N, C, …). pads: (before, after) of each axis; shape: spatial output sizes."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    shape: tuple[int, ...]

    def padded(self, x: Array, fill: float) -> Array:
        """x with its padding, and what ceil_mode reads beyond that, set to `fill`."""
        after = [
            max(high, (out - 1) * stride + (kernel - 1) * dilation + 1 - size - low)
            for size, out, kernel, stride, dilation, (low, high) in zip(
                x.shape[2:], self.shape, self.kernel, self.strides, self.dilations, self.pads, strict=True
            )
        ]
        widths = [(low, high) for (low, _), high in zip(self.pads, after, strict=True)]
        if not any(map(any, widths)):
            return x
        sizes = [size + low + high for size, (low, high) in zip(x.shape[2:], widths, strict=True)]
        whole = np.full(checked((*x.shape[:2], *sizes)), fill, x.dtype)
        inside = (slice(low, low + n) for n, (low, _) in zip(x.shape[2:], widths, strict=True))
        whole[spatial(inside)] = x
        return whole

    def taps(self) -> Iterator[tuple[int, ...]]:
        """The kernel positions, the last axis fastest."""
        return product(*map(range, self.kernel))

    def seen_by(self, tap: Sequence[int], rows: slice = slice(None)) -> Index:
        """The index of the pixels of a padded image that one kernel position reads, for these rows of the output."""
        found: list[Any] = [Ellipsis]
        for axis, (place, stride, dilation, size) in enumerate(
            zip(tap, self.strides, self.dilations, self.shape, strict=True)
        ):
            first, last, _ = rows.indices(size) if axis == 0 else (0, size, 1)
            start = place * dilation + first * stride
            found.append(slice(start, start + (last - first - 1) * stride + 1, stride))
        return tuple(found)


def spatial(slices: Iterable[slice]) -> Index:
    """An index that applies these slices to the last axes."""
    return (Ellipsis, *slices)


def windows(sizes: Sequence[int], kernel: Sequence[int], attributes: Mapping[str, Any]) -> Windows:
    """The windows of Conv, MaxPool or AveragePool over spatial sizes. Source: ONNX operators, Conv and MaxPool.

    Raises ModelError where the attributes contradict the kernel or the window is larger than the padded image.
    """
    axes = len(sizes)
    strides = numbers(attributes, "strides", axes, 1)
    dilations = numbers(attributes, "dilations", axes, 1)
    if len(kernel) != axes or min(*kernel, *strides, *dilations) < 1:
        raise ModelError(f"kernel {list(kernel)}, strides {list(strides)}, dilations {list(dilations)} for {axes} axes")
    reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    mode = attributes.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        shape = [math.ceil(size / stride) for size, stride in zip(sizes, strides, strict=True)]
        needed = [
            max((out - 1) * stride + far - size, 0)
            for size, out, stride, far in zip(sizes, shape, strides, reach, strict=True)
        ]
        pads = [split_pads(total, mode) for total in needed]
        return Windows(tuple(kernel), strides, dilations, tuple(pads), checked(shape))
    flat = numbers(attributes, "pads", 2 * axes, 0) if mode == "NOTSET" else (0,) * (2 * axes)
    pads = list(zip(flat[:axes], flat[axes:], strict=True))
    shape = [
        _count(size + low + high - far, stride, size + low, bool(attributes.get("ceil_mode", 0)))
        for size, (low, high), far, stride in zip(sizes, pads, reach, strides, strict=True)
    ]
    return Windows(tuple(kernel), strides, dilations, tuple(pads), checked(shape))


def _count(room: int, stride: int, before_end: int, ceil: bool) -> int:
    """How many windows fit on an axis; with ceil also a last one that reaches beyond, if it begins before the end pads.

    room: the last position at which a window still fits. before_end: where the pads at the end begin.
    """
    if room < 0:
        return -1
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= before_end else count


def numbers(attributes: Mapping[str, Any], name: str, count: int, default: int) -> tuple[int, ...]:
    """A list attribute of `count` integers, each `default` if it is omitted. Raises ModelError for another length."""
    found = tuple(int(n) for n in attributes.get(name) or (default,) * count)
    if len(found) != count:
        raise ModelError(f"{name} {list(found)} should be {count} numbers")
    return found


def split_pads(total: int, mode: str) -> tuple[int, int]:
    """Splits a total padding as auto_pad does, into (before, after): SAME_UPPER puts the odd pixel at the end."""
    small, large = total // 2, total - total // 2
    return (small, large) if mode == "SAME_UPPER" else (large, small)
