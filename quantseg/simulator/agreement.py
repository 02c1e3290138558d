"""How many inputs of an operator give different integers on different processors.

Kernels differ where the exact result lies so near a tie (half a step) that float32, or ARM's multipliers of 22 bits,
may put it on either side. Those inputs are found in float64, and each kernel computes them; all others round alike.
Beside the processors' kernels stands what ONNX says: float32 between DequantizeLinear and QuantizeLinear.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from quantseg.simulator.kernels import ADD, AVERAGE, MUL, Average, Binary, Whole

NEAR = 3e-4
"""Steps from a tie within which kernels may differ. 22 bits err by up to 2·255·2^−22 of a step for ratios below 2
(1.2e-4), float32 by a few parts in 2^24 of at most three terms of 510 steps (1.0e-4); more in proportion to ratios."""


Held = tuple[int, ...] | None
"""The integers that an operand can hold; None: all of its type."""


@functools.lru_cache(maxsize=4096)
def apart(op_type: str, grids: Binary, left: Held = None, right: Held = None) -> int:
    """The number of pairs on which kernels of QLinearAdd or QLinearMul differ, either operand first.

    op_type: Add or Mul. left, right: what the operands can hold.
    """
    every = range(grids.qmin, grids.qmax + 1)
    a = np.array(every if left is None else left, np.int64)[:, None]
    b = np.array(every if right is None else right, np.int64)[None, :]
    where = np.nonzero(_near(_exact(op_type, a, b, grids), grids, _width(grids)))
    a, b = a[where[0], 0], b[0, where[1]]
    if not a.size:
        return 0
    turned = Binary(
        (grids.scales[1], grids.scales[0], grids.scales[2]),
        (grids.zeros[1], grids.zeros[0], grids.zeros[2]),
        grids.qmin,
        grids.qmax,
    )
    kernels = {"Add": ADD, "Mul": MUL}[op_type].values()
    found = [kernel(a, b, grids) for kernel in kernels] + [kernel(b, a, turned) for kernel in kernels]
    return _differing([*found, _as_onnx(op_type, a, b, grids)])


def apart_in_average(grids: Average, lowest: int, highest: int) -> int:
    """The number of sums of q − Z on which kernels of the global average differ. lowest, highest: limits of q."""
    ratio = float(grids.ratio)
    steps = np.arange(grids.qmin, grids.qmax + 1) - grids.zeros[1]
    middle = (steps + 0.5) / ratio
    reach = int(np.ceil(NEAR / ratio)) + 1
    sums = np.unique(np.floor(middle).astype(np.int64)[:, None] + np.arange(-reach, reach + 1))
    zero = grids.zeros[0]
    sums = sums[(sums >= grids.count * (lowest - zero)) & (sums <= grids.count * (highest - zero))]
    return _differing([kernel(sums, grids) for kernel in AVERAGE.values()])


def _exact(op_type: str, a: Whole, b: Whole, grids: Binary) -> NDArray[np.float64]:
    """The result before rounding, Z_y in it."""
    (s_a, s_b, s_y), (z_a, z_b, z_y) = (tuple(map(float, grids.scales)), grids.zeros)
    if op_type == "Mul":
        return np.asarray(((a - z_a) * (s_a * s_b / s_y)) * (b - z_b) + z_y)
    return np.asarray(((a - z_a) * (s_a / s_y) + z_y) + (b - z_b) * (s_b / s_y))


def _width(grids: Binary) -> float:
    return NEAR * max(1.0, *(abs(float(ratio)) for ratio in grids.ratios))


def _near(exact: NDArray[np.float64], grids: Binary, width: float) -> NDArray[np.bool_]:
    """Where a result within the type lies near a tie."""
    from_tie = np.abs(exact - np.floor(exact) - 0.5)
    return np.asarray((from_tie < width) & (exact > grids.qmin) & (exact < grids.qmax))


def _as_onnx(op_type: str, a: Whole, b: Whole, grids: Binary) -> Whole:
    (s_a, s_b, s_y), (z_a, z_b, z_y) = grids.scales, grids.zeros
    left, right = (a - z_a).astype(np.float32) * s_a, (b - z_b).astype(np.float32) * s_b
    real = left + right if op_type == "Add" else left * right
    return np.asarray(np.clip(np.rint(real / s_y) + z_y, grids.qmin, grids.qmax), np.int64)


def _differing(results: list[Whole]) -> int:
    first, *others = results
    return int(np.count_nonzero(np.any([other != first for other in others], axis=0)))
