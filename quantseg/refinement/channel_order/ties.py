"""Which channels of which tensors must stand in one order: classes of channels, found by union over the graph.

Every operator ties the channels that it reads to those that it makes, or starts new ones (a product), or pins what it
reads to the order that it has. Channels stand on one axis of a tensor: axis 1 of images, the last one of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant, rank
from quantseg.refinement.equalisation.classes import Channels, Ids

__all__ = ["Constant", "Ids", "Lane", "Ties", "axis_size", "is_variable", "lane"]


@dataclass(frozen=True, eq=False)
class Lane:
    """The channels of a tensor: a number for each, which stands for its class, and the axis on which they lie."""

    ids: Ids
    axis: int


@dataclass(frozen=True, eq=False)
class Constant:
    """An operand with one entry for each channel along an axis of its own."""

    node: ir.Node
    index: int
    axis: int
    ids: Ids


@dataclass
class Ties(Channels):
    """The classes, while they are being found.

    axes: where the channels of each tensor of `of` lie. stops: numbers whose channel the next one need not follow.
    constants: what is laid out anew with the channels, beside the products' own weights.
    """

    axes: dict[ir.Value, int] = field(default_factory=dict)
    stops: set[int] = field(default_factory=set)
    constants: list[Constant] = field(default_factory=list)

    def put(self, value: ir.Value, found: Lane) -> None:
        """The tensor's channels are these."""
        self.of[value], self.axes[value] = found.ids, found.axis

    def stop(self, ids: Ids) -> None:
        """No run of channels goes on behind these."""
        self.stops.update(int(number) for number in ids)


def is_variable(value: ir.Value | None) -> bool:
    """Whether the value is computed: neither left out nor a constant."""
    return value is not None and (value.is_graph_input() or constant(value) is None)


def lane(ties: Ties, value: ir.Value | None) -> Lane | None:
    """The channels of a tensor, pinned ones on axis 1 where nothing is known of it yet.

    None for constants, and for tensors whose channels cannot be counted: nothing moves in those.
    """
    if value is None or not is_variable(value):
        return None
    if value not in ties.of:
        count = axis_size(value, 1)
        if count is None:
            return None
        ties.put(value, Lane(ties.fresh(count), 1))
        ties.pin(ties.of[value])
    return Lane(ties.of[value], ties.axes[value])


def axis_size(value: ir.Value | None, axis: int) -> int | None:
    """How long the axis is; None where unknown."""
    dims: Sequence[object] = () if value is None or value.shape is None else list(value.shape)
    size = dims[axis] if axis < len(dims) else None
    return size if isinstance(size, int) else None


def fits(value: ir.Value, found: Lane) -> bool:
    """Whether the tensor has as many channels as were found, on that axis."""
    dims = rank(value)
    return dims is not None and found.axis < dims and axis_size(value, found.axis) == len(found.ids)


def contiguous(places: Ids) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each place whether the next one is that which follows it; the last has none."""
    return np.append(np.diff(places) == 1, False)
