"""Classes of channels that must have the same factor, as a union-find structure."""

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Ids = NDArray[np.int64]
"""For each channel of a tensor a channel number; `Channels.roots` maps it to the number of its class."""


@dataclass(frozen=True, eq=False)
class LinearProduct:
    """A convolution or product with constant weight, and the channel numbers of its input and output.

    weight: (out, in/group, taps). read: of all input channels. made: of all output channels.
    """

    node: ir.Node
    weight: NDArray[np.float32]
    groups: int
    read: Ids
    made: Ids


@dataclass
class Channels:
    """The classes, built up node by node.

    of: tensor → its channel numbers. products, summands, clamps: nodes that need a rewrite or a limit when factors are
    chosen. parent: the union-find forest. pinned: channel numbers whose factor is one.
    """

    of: dict[ir.Value, Ids] = field(default_factory=dict)
    products: list[LinearProduct] = field(default_factory=list)
    summands: list[tuple[ir.Node, int, Ids]] = field(default_factory=list)
    clamps: list[tuple[ir.Node, Ids]] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    pinned: set[int] = field(default_factory=set)

    def fresh(self, count: int) -> Ids:
        """Numbers for new channels, each a class of its own."""
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def root(self, number: int) -> int:
        """The number of the class that the channel number belongs to."""
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def roots(self, ids: Ids) -> Ids:
        """The class number of each channel number."""
        return np.array([self.root(int(number)) for number in ids], np.int64)

    def join(self, a: Ids, b: Ids) -> None:
        """Puts channel i of `a` and channel i of `b` into one class, for all i."""
        for x, y in zip(a, b, strict=True):
            self.parent[self.root(int(y))] = self.root(int(x))

    def pin(self, ids: Ids | None) -> None:
        """Fixes the factor of these channels to one."""
        if ids is not None:
            self.pinned.update(int(number) for number in ids)

    def free(self) -> frozenset[int]:
        """The class numbers of the classes without a pinned channel."""
        held = {self.root(number) for number in self.pinned}
        return frozenset(root for number in range(len(self.parent)) if (root := self.root(number)) not in held)


def known(channels: Channels, value: ir.Value | None) -> Ids | None:
    """The channel numbers of a tensor; new, pinned ones if it has none. None for constants and unknown shapes."""
    if value is None or value.is_initializer() or value.dtype not in (ir.DataType.FLOAT, None):
        return None
    if value not in channels.of:
        shape = value.shape
        count = None if shape is None or len(shape) < 2 else shape[1]
        if not isinstance(count, int):
            return None
        channels.of[value] = channels.fresh(count)
        channels.pin(channels.of[value])
    return channels.of[value]


def channel_count(value: ir.Value) -> int | None:
    """How many channels the value has; None where unknown."""
    count = None if value.shape is None or len(value.shape) < 2 else value.shape[1]
    return count if isinstance(count, int) else None
