"""NHWC tensors with channel slots, (N, H, W, slots): channels in any order, with padding between them.

onnxruntime's convolution kernels are two to three times as fast where the channels fill whole registers. So a
convolution may write padding channels, which the next one ignores with zero weights. The same bookkeeping makes a
shuffle or a selection of channels free, as only the map from slots to channels changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

PADDING = -1
"""Marks a padding slot, which holds no channel; its contents are never used."""
LAST = 3
AXES = {0: 0, 1: 3, 2: 1, 3: 2, -4: 0, -3: 3, -2: 1, -1: 2}
"""Axis of (N, C, H, W) → axis of (N, H, W, C)."""


@dataclass(frozen=True)
class SlotTensor:
    """Integers (N, H, W, slots). channels: for each slot the channel that it holds, or PADDING for padding."""

    value: ir.Value
    channels: tuple[int, ...]

    @property
    def is_compact(self) -> bool:
        """Whether the slots are all channels in order, without padding."""
        return self.channels == tuple(range(len(self.channels)))

    @property
    def places(self) -> NDArray[np.int64]:
        """For each channel the index of its slot."""
        found = {channel: place for place, channel in enumerate(self.channels) if channel != PADDING}
        return np.array([found[channel] for channel in range(len(found))], np.int64)

    def with_value(self, value: ir.Value) -> "SlotTensor":
        """Other integers with the same channel slots."""
        return SlotTensor(value, self.channels)


def compact(value: ir.Value, count: int) -> SlotTensor:
    """A value (N, H, W, C) of `count` channels as a compact SlotTensor."""
    return SlotTensor(value, tuple(range(count)))


def is_image(value: ir.Value | None) -> bool:
    """Whether a tensor has four axes (N, C, H, W) and a static number of channels."""
    return value is not None and value.shape is not None and len(value.shape) == 4 and isinstance(value.shape[1], int)


def can_be_image(value: ir.Value | None) -> bool:
    """Whether it has four axes or is a constant, to which leading axes can be added."""
    constant = value is not None and value.const_value is not None and len(value.const_value.shape) <= 4
    return constant or is_image(value)


def count_of(value: ir.Value | None) -> int:
    """The number of channels of a tensor (N, C, H, W)."""
    assert value is not None
    assert value.shape is not None
    count = value.shape[1]
    assert isinstance(count, int)
    return count


def filled(count: int, multiple: int) -> tuple[int, ...]:
    """Slots for `count` channels in order, padded to a multiple of `multiple`."""
    return (*range(count), *(PADDING,) * (-count % multiple))


def spread(array: NDArray[Any], channels: Sequence[int], axis: int, fill: int) -> NDArray[Any]:
    """The array with its channels, on `axis`, in these slots, and `fill` in padding."""
    order = np.array(channels, np.int64)
    taken = np.take(array, np.maximum(order, 0), axis)
    shape = [-1 if i == axis % array.ndim else 1 for i in range(array.ndim)]
    return np.ascontiguousarray(np.where((order == PADDING).reshape(shape), np.asarray(fill, array.dtype), taken))
