"""Classes of channels that must keep a common order across tensors, found by union-find over the graph.

An operator ties its input channels to its output channels, or starts new ones (a convolution or product), or pins its
input channels to their present order. Channels are on one axis of a tensor: axis 1 of images, the last axis of
matrices.
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
    """The channels of a tensor. ids: a channel number for each, see Channels. axis: of the channels."""

    ids: Ids
    axis: int


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant operand (input `index` of `node`) with one entry for each channel along `axis`."""

    node: ir.Node
    index: int
    axis: int
    ids: Ids


@dataclass
class Ties(Channels):
    """The classes, built up node by node.

    axes: tensor → axis of its channels. stops: channel numbers behind which a block must end. constants: operands that
    are permuted with the channels, beside the weights of products.
    """

    axes: dict[ir.Value, int] = field(default_factory=dict)
    stops: set[int] = field(default_factory=set)
    constants: list[Constant] = field(default_factory=list)

    def put(self, value: ir.Value, found: Lane) -> None:
        """Sets the channels of a tensor."""
        self.of[value], self.axes[value] = found.ids, found.axis

    def stop(self, ids: Ids) -> None:
        """Ends blocks behind these channels."""
        self.stops.update(int(number) for number in ids)


def is_variable(value: ir.Value | None) -> bool:
    """Whether the value is computed or an input of the graph: neither left out nor a constant."""
    return value is not None and (value.is_graph_input() or constant(value) is None)


def lane(ties: Ties, value: ir.Value | None) -> Lane | None:
    """The channels of a tensor; new, pinned ones on axis 1 if it has none yet.

    None for constants and for tensors with an unknown number of channels, whose channels are never permuted.
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
    """The length of an axis; None where unknown."""
    dims: Sequence[object] = () if value is None or value.shape is None else list(value.shape)
    size = dims[axis] if axis < len(dims) else None
    return size if isinstance(size, int) else None


def fits(value: ir.Value, found: Lane) -> bool:
    """Whether the tensor has as many channels as `found`, on the same axis."""
    dims = rank(value)
    return dims is not None and found.axis < dims and axis_size(value, found.axis) == len(found.ids)


def contiguous(places: Ids) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each position whether the next one in the array is its successor; False for the last."""
    return np.append(np.diff(places) == 1, False)
