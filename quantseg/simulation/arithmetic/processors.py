"""What onnxruntime's integer kernels do on each processor: how they add pairs of products, and where they round.

Everything else that integer kernels do is the same everywhere, but for weights of −128 on ARM without the dot product:
the sum of two products (−128)² wraps there, which is not simulated. Sources: onnxruntime 1.32, MLAS (qgemm.cpp,
qladd.cpp, qladd_avx2.cpp, qlmul.cpp, platform.cpp); found equal by running all of them, most of them emulated.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from quantseg.errors import PlanError


@dataclass(frozen=True)
class SimulatedProcessor:
    """One kind of processor.

    means: in words. saturates: whether two products of uint8 and int8 are added in 16 bits that saturate (vpmaddubsw).
    adds, multiplies: how QLinearAdd and QLinearMul compute, names in ADDERS and MULTIPLIERS. contracts: whether a
    linear Resize adds products that are not rounded by themselves: the compiler's doing, found by trying.
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
