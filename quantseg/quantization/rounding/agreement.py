"""How many inputs of an operator give different integers on different processors.

Kernels differ where the exact result is so near to a tie (half a step) that float32, or ARM's 22-bit multipliers, may
put it on either side. Such inputs are found in float64 and computed by the arithmetic of every kernel; all others round
the same. The ONNX standard's definition (float32 between DequantizeLinear and QuantizeLinear) counts as a kernel too.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.quantization.affine import F32, Ints
from quantseg.quantization.rounding.pairwise import ADDERS, MULTIPLIERS

NEAR = 3e-4
"""Distance from a tie, in steps, within which kernels may differ. The error of 22-bit multipliers is up to
2·255·2^−22 of a step for ratios below 2 (1.2e-4), that of float32 a few 2^−24 of at most three terms of 510 steps
(1.0e-4); both grow in proportion to the ratios."""

Whole = NDArray[np.int64]
Held = tuple[int, ...] | None
"""The integers that an operand can hold; None: all integers of its type."""


@dataclass(frozen=True)
class PairGrids:
    """Scales and zero-points of both operands and the result, in this order. Operand scales may be negative (a − b).

    signed: whether the type is int8, else uint8.
    """

    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    signed: bool = False

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest integer."""
        return (-128, 127) if self.signed else (0, 255)

    @property
    def single(self) -> tuple[F32, ...]:
        """The scales in float32."""
        return tuple(np.asarray(scale, np.float32) for scale in self.scales)

    @property
    def stored(self) -> tuple[Ints, ...]:
        """The zero-points in their integer type."""
        return tuple(np.asarray(zero, np.int8 if self.signed else np.uint8) for zero in self.zeros)


@functools.lru_cache(maxsize=4096)
def apart(op_type: str, grids: PairGrids, left: Held = None, right: Held = None) -> int:
    """The number of operand pairs on which kernels of QLinearAdd or QLinearMul differ, in either order of operands.

    op_type: Add or Mul. left, right: the integers that the operands can hold.
    """
    every = np.arange(grids.limits[0], grids.limits[1] + 1)
    a = (every if left is None else np.array(left, np.int64))[:, None]
    b = (every if right is None else np.array(right, np.int64))[None, :]
    rows, columns = np.nonzero(_near(_exact(op_type, a, b, grids), grids))
    if not rows.size:
        return 0
    return int(np.count_nonzero(differ(op_type, grids, a[rows, 0], b[0, columns])))


def differ(op_type: str, grids: PairGrids, a: Whole, b: Whole) -> NDArray[np.bool_]:
    """Where kernels differ, elementwise for integers of both operands. Covers SSE kernels that add a scalar operand
    first, as these only exchange the operands."""
    (s_a, s_b, s_y), (z_a, z_b, z_y) = grids.single, grids.stored
    found: list[Ints] = [_as_onnx(op_type, a, b, grids)]
    if op_type == "Mul":
        products = (a - int(z_a)).astype(np.int32), (b - int(z_b)).astype(np.int32)
        found += [kernel(*products, (s_a, s_b, s_y), z_y) for kernel in MULTIPLIERS.values()]
        found += [kernel(*products[::-1], (s_b, s_a, s_y), z_y) for kernel in MULTIPLIERS.values()]
    else:
        one, other = a.astype(z_a.dtype), b.astype(z_b.dtype)
        found += [kernel(one, other, (s_a, s_b, s_y), (z_a, z_b, z_y), False) for kernel in ADDERS.values()]
        found += [kernel(other, one, (s_b, s_a, s_y), (z_b, z_a, z_y), False) for kernel in ADDERS.values()]
    return _unequal(found)


def _exact(op_type: str, a: Whole, b: Whole, grids: PairGrids) -> NDArray[np.float64]:
    """The result before rounding, in steps and including Z_y."""
    (s_a, s_b, s_y), (z_a, z_b, z_y) = map(float, grids.single), grids.zeros
    if op_type == "Mul":
        return np.asarray(((a - z_a) * (s_a * s_b / s_y)) * (b - z_b) + z_y)
    return np.asarray(((a - z_a) * (s_a / s_y) + z_y) + (b - z_b) * (s_b / s_y))


def _near(exact: NDArray[np.float64], grids: PairGrids) -> NDArray[np.bool_]:
    """Where a result inside the type's limits is near a tie."""
    s_a, s_b, s_y = grids.scales
    width = NEAR * max(1.0, abs(s_a / s_y), abs(s_b / s_y))
    low, high = grids.limits
    return np.asarray((np.abs(exact - np.floor(exact) - 0.5) < width) & (exact > low) & (exact < high))


def _as_onnx(op_type: str, a: Whole, b: Whole, grids: PairGrids) -> Ints:
    (s_a, s_b, s_y), (z_a, z_b, z_y) = grids.single, grids.zeros
    left, right = (a - z_a).astype(np.float32) * s_a, (b - z_b).astype(np.float32) * s_b
    real = left + right if op_type == "Add" else left * right
    return np.asarray(np.clip(np.rint(real / s_y) + z_y, *grids.limits), grids.stored[2].dtype)


def _unequal(results: Sequence[Ints]) -> NDArray[np.bool_]:
    first, *others = results
    return np.asarray(np.any([other != first for other in others], axis=0))
