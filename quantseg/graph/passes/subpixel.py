"""ConvTranspose as a sub-pixel convolution: the arithmetic along one axis, and its weights.

ConvTranspose with stride s, padding p and kernel size K adds input j, times tap k of its kernel, to output
i = s·j + k − p. Seen from an output: let the first a pixels of the interleaved result be cropped, and let
i + a = s·q + r with phase r in [0, s). Then
    out[i] = Σ_d x[q + d] · w[r + p − a − s·d],    over all d with 0 <= r + p − a − s·d < K.
So each phase is an ordinary convolution of few taps. The phases lie side by side on the channel axis until
DepthToSpace interleaves them. Of all crops a in [0, s), the one that needs the fewest taps is chosen.
Source: Shi et al., arXiv:1609.07009, for kernels that are a multiple of the stride; the general case is
derived here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """ConvTranspose along one axis: sizes in pixels; `output_padding` lengthens the output at its end."""

    kernel: int
    stride: int
    pad_begin: int
    pad_end: int
    output_padding: int

    def length(self, size: int) -> int:
        """Output pixels for `size` input pixels."""
        return self.stride * (size - 1) + self.kernel + self.output_padding - self.pad_begin - self.pad_end


@dataclass(frozen=True)
class Phases:
    """The convolution that computes all phases of an Axis, and the pixels to crop from the interleaved result.

    taps[r, t]: the tap of the original kernel that phase r multiplies by input q + t − pad_begin; −1 for none.
    """

    taps: NDArray[np.int64]
    pad_begin: int
    pad_end: int
    crop_begin: int
    crop_end: int

    @property
    def count(self) -> int:
        """Taps of each phase, which is the kernel size of the convolution."""
        return int(self.taps.shape[1])


def phases(axis: Axis) -> Phases:
    """The convolution with the fewest taps for the axis. Its pads and crops do not depend on the input's size."""
    return min((_cut_at(axis, cut) for cut in range(axis.stride)), key=lambda found: (found.count, found.crop_begin))


def _cut_at(axis: Axis, cut: int) -> Phases:
    stride, shift = axis.stride, axis.pad_begin - cut
    first = min(0, -((axis.kernel - 1 - shift) // stride))  # the pads of a Conv are not negative
    count = (stride - 1 + shift) // stride - first + 1
    phase, tap = np.arange(stride)[:, None], np.arange(count)[None, :]
    taps = phase + shift - stride * (first + tap)
    inside = (taps >= 0) & (taps < axis.kernel)
    growth = -((-(axis.length(0) + cut)) // stride)  # output positions minus input pixels, rounded up
    pad_end = growth + first + count - 1
    surplus = max(0, -pad_end) * stride + stride * growth - cut - axis.length(0)
    return Phases(np.where(inside, taps, -1), -first, max(0, pad_end), cut, surplus)


def phase_weights(
    weight: NDArray[np.float32], groups: int, vertical: Phases, horizontal: Phases, *, phases_first: bool = False
) -> NDArray[np.float32]:
    """Weights of the Conv, (outputs·s·s, inputs/groups, taps, taps); 0 where a phase has no tap.

    weight: that of the ConvTranspose, (inputs, outputs/groups, K, K). Output channel o·s·s + r·s + c holds row phase r
    and column phase c of output o; with phases_first, for one group only, channel (r·s + c)·outputs + o does.
    """
    inputs = len(weight)
    padded = np.pad(weight, ((0, 0), (0, 0), (0, 1), (0, 1)))  # tap −1 reads the zero appended after the last
    rows = padded[:, :, vertical.taps]  # (inputs, outputs, row phase, row tap, K + 1)
    both = rows[..., horizontal.taps]  # (inputs, outputs, row phase, row tap, column phase, column tap)
    grouped = both.reshape(groups, inputs // groups, *both.shape[1:])
    order = (0, 3, 5, 2, 1, 4, 6) if phases_first else (0, 2, 3, 5, 1, 4, 6)
    ordered = grouped.transpose(order)  # group, output, row phase, column phase (or phases before output), input, taps
    return np.ascontiguousarray(ordered.reshape(-1, *ordered.shape[4:]))
