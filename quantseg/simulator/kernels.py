"""Add, Mul and the global average as the kernel of each processor computes them: the same formula, rounded elsewhere.

x86 rounds a float32 sum, ties to even; with AVX2 it fuses products and sums, without it does not. ARM's Add multiplies
by whole numbers of 22 bits and rounds ties away from zero before Z_y is added; its Mul fuses, its average is exact and
rounds ties away. WebAssembly multiplies first and divides by S_y last. So results differ at ties, and beside them by as
much as float32 and 22 bits err. Source: onnxruntime's MLAS, qladd.cpp, qladd_avx2.cpp, qlmul.cpp, qlgavgpool.cpp; what
compilers fuse was found by trying every pair of integers on each processor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.affine import F32, Ints
from quantseg.simulator.single import fused

AVX2, SSE, NEON, WASM = "avx2", "sse", "neon", "wasm"
PROCESSORS = (AVX2, SSE, NEON, WASM)
"""Families of kernels: x86 with and without AVX2, ARM of 64 bits (all of them alike), WebAssembly."""

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Binary:
    """The grids of an Add or Mul: scales of both operands and the result (an operand's may be negative), zero-points.

    qmin, qmax: the limits of the result's type.
    """

    scales: tuple[np.float32, np.float32, np.float32]
    zeros: tuple[int, int, int]
    qmin: int = 0
    qmax: int = 255

    @classmethod
    def of(cls, scales: tuple[F32, F32, F32], zeros: tuple[Ints, Ints, Ints]) -> "Binary":
        """From 0-dimensional arrays, as operators hold them."""
        info = np.iinfo(zeros[2].dtype)
        return cls(
            (np.float32(scales[0]), np.float32(scales[1]), np.float32(scales[2])),
            (int(zeros[0]), int(zeros[1]), int(zeros[2])),
            int(info.min),
            int(info.max),
        )

    @property
    def ratios(self) -> tuple[np.float32, np.float32]:
        """S_a/S_y and S_b/S_y in float32."""
        s_a, s_b, s_y = self.scales
        return np.float32(s_a / s_y), np.float32(s_b / s_y)


def _stored(rounded: NDArray[Any], grids: "Binary | Average") -> Whole:
    """Held within the result's type."""
    return np.asarray(np.clip(rounded, grids.qmin, grids.qmax), np.int64)


def _add_avx2(a: Whole, b: Whole, grids: Binary) -> Whole:
    """The constant part first, then two fused multiply-adds; the compiler fuses the constant part as well."""
    (r_a, r_b), (z_a, z_b, z_y) = map(np.asarray, grids.ratios), grids.zeros
    zero = np.float32(z_y) - fused(np.asarray(z_a), r_a, np.float32(z_b) * r_b)
    return _stored(np.rint(fused(a, r_a, fused(b, r_b, zero))), grids)


def _add_sse(a: Whole, b: Whole, grids: Binary) -> Whole:
    """The constant part first, then the products, each step rounded."""
    (r_a, r_b), (z_a, z_b, z_y) = grids.ratios, grids.zeros
    zero = np.float32(z_y) - (r_a * np.float32(z_a) + r_b * np.float32(z_b))
    return _stored(np.rint((zero + a.astype(np.float32) * r_a) + b.astype(np.float32) * r_b), grids)


def multipliers(ratios: tuple[np.float32, np.float32]) -> tuple[int, int, int] | None:
    """ARM's whole multipliers of both operands, and the shift to the right that belongs to them.

    None where a ratio is negative or beyond [2^−14, 2^8): there ARM computes in float32.
    """
    if min(ratios) < 2.0**-14 or max(ratios) >= 2.0**8:
        return None
    shift = 22 - int(np.frexp(max(ratios))[1])
    first, second = (int(np.rint(np.ldexp(ratio, shift))) for ratio in ratios)
    if not 13 <= shift <= 31 or not 1 << 21 <= max(first, second) < 1 << 22:
        return None
    return first, second, shift


def _add_neon(a: Whole, b: Whole, grids: Binary) -> Whole:
    """Whole multipliers, the sum shifted with ties away from zero; where those do not fit, float32 with fused steps."""
    (z_a, z_b, z_y), found = grids.zeros, multipliers(grids.ratios)
    if found is None:
        return _add_directly(a, b, grids, fuses=True)
    first, second, shift = found
    total = (a - z_a) * first + (b - z_b) * second
    return _stored(((total - (total < 0) + (1 << (shift - 1))) >> shift) + z_y, grids)


def _add_wasm(a: Whole, b: Whole, grids: Binary) -> Whole:
    return _add_directly(a, b, grids, fuses=False)


def _add_directly(a: Whole, b: Whole, grids: Binary, *, fuses: bool) -> Whole:
    """Both real numbers, added, divided by S_y, held within the type, then rounded with Z_y in."""
    (s_a, s_b, s_y), (z_a, z_b, z_y) = grids.scales, grids.zeros
    left, right = (a - z_a).astype(np.float32), (b - z_b).astype(np.float32)
    total = fused(left, np.asarray(s_a), right * s_b) if fuses else left * s_a + right * s_b
    quotient = np.clip(total / s_y, np.float32(grids.qmin - z_y), np.float32(grids.qmax - z_y))
    return _stored(np.rint(quotient + np.float32(z_y)), grids)


ADD: Mapping[str, Callable[[Whole, Whole, Binary], Whole]] = {
    AVX2: _add_avx2,
    SSE: _add_sse,
    NEON: _add_neon,
    WASM: _add_wasm,
}
"""QLinearAdd: integers of both operands, of shapes that broadcast, to those of the result."""


def _product(grids: Binary) -> F32:
    """S_a·S_b/S_y."""
    s_a, s_b, s_y = grids.scales
    return np.asarray(np.float32(s_a * s_b) / s_y, np.float32)


def _mul_x86(a: Whole, b: Whole, grids: Binary) -> Whole:
    z_a, z_b, z_y = grids.zeros
    products = ((a - z_a) * (b - z_b)).astype(np.float32)
    return _stored(np.rint(products * _product(grids) + np.float32(z_y)), grids)


def _mul_neon(a: Whole, b: Whole, grids: Binary) -> Whole:
    z_a, z_b, z_y = grids.zeros
    return _stored(np.rint(fused((a - z_a) * (b - z_b), _product(grids), np.asarray(np.float32(z_y)))), grids)


def _mul_wasm(a: Whole, b: Whole, grids: Binary) -> Whole:
    (s_a, s_b, s_y), (z_a, z_b, z_y) = grids.scales, grids.zeros
    real = (s_a * (a - z_a).astype(np.float32)) * (s_b * (b - z_b).astype(np.float32)) / s_y
    held_in = np.clip(real, np.float32(grids.qmin - z_y), np.float32(grids.qmax - z_y))
    return _stored(np.rint(held_in + np.float32(z_y)), grids)


MUL: Mapping[str, Callable[[Whole, Whole, Binary], Whole]] = {
    AVX2: _mul_x86,
    SSE: _mul_x86,
    NEON: _mul_neon,
    WASM: _mul_wasm,
}
"""QLinearMul, likewise."""


@dataclass(frozen=True)
class Average:
    """The grids of a global average over `count` numbers: the scale of both sides, their zero-points, the type."""

    scales: tuple[np.float32, np.float32]
    zeros: tuple[int, int]
    count: int
    qmin: int = 0
    qmax: int = 255

    @property
    def ratio(self) -> F32:
        """S_x/(S_y · count) in float32, as every kernel holds it."""
        return np.asarray(self.scales[0] / np.float32(self.scales[1] * np.float32(self.count)), np.float32)


def _average_in_single(total: Whole, grids: Average) -> Whole:
    found = np.rint(total.astype(np.float32) * grids.ratio) + np.float32(grids.zeros[1])
    return _stored(found, grids)


def _average_neon(total: Whole, grids: Average) -> Whole:
    """The float32 multiplier's own 24 bits times the sum, shifted with ties away from zero."""
    mantissa, exponent = np.frexp(grids.ratio)
    product, shift = total * int(np.ldexp(mantissa, 24)), 24 - int(exponent)
    found = ((product - (total < 0) + (1 << (shift - 1))) >> shift) + grids.zeros[1]
    return _stored(found, grids)


AVERAGE: Mapping[str, Callable[[Whole, Average], Whole]] = {
    AVX2: _average_in_single,
    SSE: _average_in_single,
    NEON: _average_neon,
    WASM: _average_in_single,
}
"""QLinearGlobalAveragePool: sums of q − Z to the integers of the result."""
