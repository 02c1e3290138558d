"""How processors add the products of uint8 and int8, as onnxruntime's and OpenVINO's kernels use them.

Sources: onnxruntime 1.32, MLAS (QgemmU8X8KernelAvx2, -Avx512Core, -Avx512Vnni, qgemm_kernel_sse, _neon, _sdot, _udot,
_ummla, _wasmsimd, _amx); oneDNN, "Nuances of int8 computations". What was emulated: tests/processors, README.md there.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Processor:
    """A kind of processor. instruction: what its kernels multiply and add with. in_16_bits: whether two products are
    added in 16 bits, which saturate. known: how that is known, where it was not measured on the machine at hand.
    """

    name: str
    instruction: str
    in_16_bits: bool
    known: str


EMULATED, SOURCE = "emulated", "from source"

PROCESSORS = (
    Processor("AVX2", "vpmaddubsw", True, EMULATED),
    Processor("AVX-512", "vpmaddubsw", True, EMULATED),
    Processor("VNNI", "vpdpbusd", False, SOURCE),
    Processor("AMX", "tdpbusd", False, SOURCE),
    Processor("SSE", "pmaddwd", False, EMULATED),
    Processor("NEON", "smlal", False, EMULATED),
    Processor("dot product", "udot", False, EMULATED),
    Processor("i8mm", "ummla", False, EMULATED),
    Processor("WASM SIMD", "i32x4.dot_i16x8", False, EMULATED),
)
"""Those that are told apart; AVX-512 is that without VNNI."""

_FLAGS = (
    ("AMX", ("amx_int8",)),
    ("VNNI", ("avx512_vnni", "avx_vnni")),
    ("AVX-512", ("avx512bw",)),
    ("AVX2", ("avx2",)),
    ("SSE", ("sse4_1",)),
    ("i8mm", ("i8mm",)),
    ("dot product", ("asimddp",)),
    ("NEON", ("asimd",)),
)
"""Linux's words for what a processor can do; kernels take the first that it has."""


def named(flags: frozenset[str]) -> str | None:
    """The name of the processor that says it can do this; None for one that says nothing known."""
    return next((name for name, words in _FLAGS if flags & set(words)), None)
