"""How kernels of onnxruntime and OpenVINO add products of uint8 and int8 on each kind of processor.

Sources: onnxruntime 1.32, MLAS (QgemmU8X8KernelAvx2, -Avx512Core, -Avx512Vnni, qgemm_kernel_sse, _neon, _sdot, _udot,
_ummla, _wasmsimd, _amx); oneDNN, "Nuances of int8 computations". What was emulated: see tests/processors/README.md.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Processor:
    """A kind of processor.

    instruction: the one that kernels multiply and add with. in_16_bits: whether it adds two products in 16 bits, which
    saturate. known: the evidence for that, for use where it was not measured on the machine at hand.
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
"""All kinds; "AVX-512" means without VNNI."""

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
"""(Linux CPU flag, processor name); kernels use the first flag that the CPU has."""


def named(flags: frozenset[str]) -> str | None:
    """The name in PROCESSORS of a CPU with these flags; None where no flag is known."""
    return next((name for name, words in _FLAGS if flags & set(words)), None)
