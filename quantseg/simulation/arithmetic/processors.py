"""Where onnxruntime's integer kernels differ between processors: how they add pairs of products, and where they round.

All other integer arithmetic is the same on every processor, with one exception: on ARM without the dot-product
extension the sum of two products (−128)·(−128) wraps around, which is not simulated. Sources: onnxruntime 1.32, MLAS
(qgemm.cpp, qladd.cpp, qladd_avx2.cpp, qlmul.cpp, platform.cpp); verified by running each, most of them emulated.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from quantseg.errors import PlanError


@dataclass(frozen=True)
class SimulatedProcessor:
    """One kind of processor.

    means: a description. saturates: whether pairs of uint8 · int8 products are added in saturating 16 bits
    (VPMADDUBSW). adds, multiplies: how QLinearAdd and QLinearMul compute, names in ADDERS and MULTIPLIERS. contracts:
    whether the compiler turned the multiply and add of a linear Resize into fused multiply-adds, found by experiment.
    """

    name: str
    means: str
    saturates: bool = False
    adds: str = "fused"
    multiplies: str = "single"
    contracts: bool = False


EXACT = SimulatedProcessor("exact", "x86-64 with VNNI or AMX")

PROCESSORS: Mapping[str, SimulatedProcessor] = {
    processor.name: processor
    for processor in (
        EXACT,
        SimulatedProcessor("avx2", "x86-64 with AVX2 or AVX-512 and without VNNI", saturates=True),
        SimulatedProcessor("sse", "x86-64 with SSE4.1 alone", adds="separate"),
        SimulatedProcessor(
            "neon", "ARM64: NEON, dot product and i8mm", adds="fixed-point", multiplies="fused", contracts=True
        ),
        SimulatedProcessor("wasm", "WebAssembly with SIMD, in browsers", adds="real", multiplies="real"),
    )
}
"""Name → processor."""


def named(name: str) -> SimulatedProcessor:
    """The processor of this name. Raises PlanError for an unknown one."""
    if name not in PROCESSORS:
        raise PlanError(f"{name!r} is no processor; choose one of {', '.join(PROCESSORS)}")
    return PROCESSORS[name]
