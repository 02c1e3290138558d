"""The processors of the bench: how each is had, and how its kernels add u8·s8 products."""

from dataclasses import dataclass
from enum import Enum


class Way(Enum):
    """How a processor is had."""

    HERE = "this machine"
    CONCEALED = "this machine, with a copy of onnxruntime that does not see some of its instructions"
    X86 = "qemu-x86_64"
    ARM = "qemu-aarch64"
    WASM = "node"


@dataclass(frozen=True)
class Processor:
    """A processor of the bench. kernels: what adds the products; saturates: whether two of u8·s8 add in 16 bits.

    model: qemu's name of it. flags: what this machine needs, in Linux's spelling. saturates is None where it depends
    on the machine.
    """

    name: str
    way: Way
    kernels: str
    saturates: bool | None
    model: str = ""
    flags: tuple[str, ...] = ()

    @property
    def native(self) -> bool:
        """Whether it runs at the speed of this machine."""
        return self.way in (Way.HERE, Way.CONCEALED)


_AVX512 = ("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl")

PROCESSORS = {
    processor.name: processor
    for processor in (
        Processor("here", Way.HERE, "this machine's own", None),
        Processor("avx2-native", Way.CONCEALED, "AVX2 maddubs", True, flags=("avx2", "fma")),
        Processor("avx512-native", Way.CONCEALED, "AVX-512 maddubs", True, flags=_AVX512),
        Processor("avx2", Way.X86, "AVX2 maddubs", True, model="max"),
        Processor("nehalem", Way.X86, "SSE4.1", False, model="Nehalem"),
        Processor("cortex-a53", Way.ARM, "NEON", False, model="cortex-a53"),
        Processor("cortex-a76", Way.ARM, "NEON dot product", False, model="cortex-a76"),
        Processor("aarch64", Way.ARM, "i8mm", False, model="max"),
        Processor("wasm", Way.WASM, "WASM SIMD", False),
    )
}
"""By name. `avx2` is qemu's `max`, which knows AVX2 and nothing wider; `aarch64` its `max` of that family."""
