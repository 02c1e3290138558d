"""Orders of axes. A tensor is written in some order of its logical axes, those of the ONNX value; images in NHWC.

order[i] is the logical axis that physical axis i holds. So an ONNX Transpose only renames: nothing is moved until an
operator needs another order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from quantseg.quantization.formats.litert.network import Tensor

Order = tuple[int, ...]

NHWC: Order = (0, 2, 3, 1)


@dataclass(frozen=True, eq=False)
class PlacedTensor:
    """A tensor and the order of its axes."""

    tensor: Tensor
    order: Order

    @property
    def logical(self) -> tuple[int, ...]:
        """The sizes of the logical axes."""
        return tuple(self.tensor.shape[self.order.index(axis)] for axis in range(len(self.order)))

    def axis(self, logical: int) -> int:
        """The physical axis that holds a logical one, which may be counted from the end."""
        return self.order.index(logical % len(self.order))


def plain(rank: int) -> Order:
    """The model's own order."""
    return tuple(range(rank))


def of_image(rank: int) -> Order:
    """Channels last for images (N, C, H, W), else the model's own order."""
    return NHWC if rank == len(NHWC) else plain(rank)


def physical(sizes: Sequence[int], order: Order) -> tuple[int, ...]:
    """Sizes of logical axes in an order."""
    return tuple(int(sizes[axis]) for axis in order)


def moves(before: Order, after: Order) -> Order:
    """The permutation of a TRANSPOSE from one order to another."""
    return tuple(before.index(axis) for axis in after)


def only_ones_move(shape: Sequence[int], permutation: Order) -> bool:
    """Whether the axes longer than one keep their order, so that no number moves in memory."""
    long = [axis for axis in permutation if shape[axis] != 1]
    return long == sorted(long)
