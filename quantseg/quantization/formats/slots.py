"""Images as (N, H, W, places): integers whose channels stand in any order, with unused places between them.

onnxruntime's convolution kernels are two to three times as fast where the channels fill whole registers. A convolution
can give more channels than it was asked for, and the next one can skip them: its weights are zero there. The same
bookkeeping makes a shuffle or a selection of channels free, because only the map of places changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

UNUSED = -1
"""A place that holds no channel. What stands there is never read."""
LAST = 3
AXES = {0: 0, 1: 3, 2: 1, 3: 2, -4: 0, -3: 3, -2: 1, -1: 2}
"""Axis of (N, C, H, W) → axis of (N, H, W, C)."""


@dataclass(frozen=True)
class SlotTensor:
    """Integers (N, H, W, places). channels: for each place the channel that stands there, or UNUSED."""

    value: ir.Value
    channels: tuple[int, ...]

    @property
    def is_compact(self) -> bool:
        """Whether the places are the channels, in their order."""
        return self.channels == tuple(range(len(self.channels)))

    @property
    def places(self) -> NDArray[np.int64]:
        """For each channel the place where it stands."""
        found = {channel: place for place, channel in enumerate(self.channels) if channel != UNUSED}
        return np.array([found[channel] for channel in range(len(found))], np.int64)

    def with_value(self, value: ir.Value) -> "SlotTensor":
        """Other integers in the same places."""
        return SlotTensor(value, self.channels)


def compact(value: ir.Value, count: int) -> SlotTensor:
    """So many channels in their order."""
    return SlotTensor(value, tuple(range(count)))


def is_picture(value: ir.Value | None) -> bool:
    """Whether a tensor is a stack of images with a known number of channels."""
    return value is not None and value.shape is not None and len(value.shape) == 4 and isinstance(value.shape[1], int)


def can_be_picture(value: ir.Value | None) -> bool:
    """Whether it is one or a constant, which can be given the axes that it lacks."""
    constant = value is not None and value.const_value is not None and len(value.const_value.shape) <= 4
    return constant or is_picture(value)


def count_of(value: ir.Value | None) -> int:
    """The channels of a stack of images (N, C, H, W)."""
    assert value is not None
    assert value.shape is not None
    count = value.shape[1]
    assert isinstance(count, int)
    return count


def filled(count: int, multiple: int) -> tuple[int, ...]:
    """Channels in their order and unused places up to a multiple."""
    return (*range(count), *(UNUSED,) * (-count % multiple))


def spread(array: NDArray[Any], channels: Sequence[int], axis: int, fill: int) -> NDArray[Any]:
    """The array with its channels, on `axis`, in their places, and `fill` in the unused ones."""
    order = np.array(channels, np.int64)
    taken = np.take(array, np.maximum(order, 0), axis)
    shape = [-1 if i == axis % array.ndim else 1 for i in range(array.ndim)]
    return np.ascontiguousarray(np.where((order == UNUSED).reshape(shape), np.asarray(fill, array.dtype), taken))
