"""A copy of the installed onnxruntime that does not see some instructions of this machine, at this machine's speed.

MLAS asks the processor once which kernels it may take. In the copy three answers of that one function are other ones:

    avx2-native     xgetbv             the system keeps AVX registers and no wider ones
    avx512-native   and $0x800, leaf 7 no AVX512_VNNI
                    and $0x3000000     no AMX (or instead: never zero)
    both            leaf 7.1           no AVX_VNNI, no AVX_VNNI_INT8

The function is found by its question for leaf 7.1, which stands once in the library; what is changed stands once within
2 KiB of it. Where that is not so, or where the copy does not saturate, the processor is not to be had.
Sources: Intel, Software Developer's Manual (CPUID, XGETBV); onnxruntime, core/mlas/lib/platform.cpp.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import onnxruntime

from tests.processors import packages
from tests.processors.effect import SATURATED, pair_model
from tests.processors.packages import UnavailableError
from tests.processors.table import Processor

_NEAR = 2048
_LEAF = re.compile(rb"\xb8\x07\x00\x00\x00\xb9\x01\x00\x00\x00\x0f\xa2(?=\xa8\x10)")
"""mov $7, %eax; mov $1, %ecx; cpuid; before test $0x10, %al."""
_NOTHING = b"\x31\xc0\x31\xd2" + 8 * b"\x90"
"""xor %eax, %eax; xor %edx, %edx; and nops."""
_XGETBV = re.compile(rb"(?<=\x31\xc9)\x0f\x01\xd0")
_AVX = b"\x6a\x07\x58"
"""push $7; pop %rax: x87, SSE and AVX registers."""
_VNNI = re.compile(rb"(?<=\x81[\xe0-\xe7])\x00\x08\x00\x00")
_AMX = re.compile(rb"(?<=\x41\x81)[\xe0-\xe7](?=\x00\x00\x00\x03\x0f\x85)")
"""and $0x3000000 of a register, before jne; with another third octal digit it is an or, which is never zero."""

_CODE = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.stdin.buffer.read(), providers=["CPUExecutionProvider"])
print(int(session.run(None, {"a": numpy.full((16, 16), 255, numpy.uint8)})[0].max()))
"""


def site(processor: Processor) -> Path:
    """The folder to put before others in PYTHONPATH; made where it is not there yet. Raises UnavailableError."""
    name = f"{processor.name}-{packages.ONNXRUNTIME}-{sysconfig.get_config_var('SOABI')}"
    target = packages.folder() / name
    missing = lacking(processor)
    if missing:
        raise UnavailableError(f"this machine has no {missing[0]}")
    if target.is_dir():
        return target
    library = _library()
    content = concealed(library.read_bytes(), wide=processor.name == "avx512-native")

    def make(whole: Path) -> None:
        source = library.parents[1]
        shutil.copytree(source, whole / source.name, ignore=shutil.ignore_patterns("libonnxruntime.so*", "__pycache__"))
        (whole / library.relative_to(source.parent)).write_bytes(content)
        found = _effect(whole)
        if found != SATURATED:
            raise UnavailableError(f"the copy of onnxruntime makes {found} of 2 x 255 x 127, not {SATURATED}")

    return packages.made(target, make)


def lacking(processor: Processor) -> list[str]:
    """What the processor's kernels need and this machine does not have."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(re.findall(r"\w+", cpuinfo.read_text(errors="replace"))) if cpuinfo.is_file() else set()
    return [flag for flag in processor.flags if flag not in flags]


def concealed(library: bytes, *, wide: bool) -> bytes:
    """The library with other answers. wide: with those of avx512-native. Raises UnavailableError."""
    leaf = _once(_LEAF, library, 0, len(library), "question for leaf 7.1")
    near = (leaf.start() - _NEAR, leaf.end() + _NEAR)
    changes = [(leaf.start(), _NOTHING)]
    if wide:
        vnni = _once(_VNNI, library, leaf.end(), near[1], "test of AVX512_VNNI")
        amx = _once(_AMX, library, leaf.end(), near[1], "test of AMX")
        changes += [(vnni.start(), bytes(4)), (amx.start(), bytes([amx[0][0] ^ 0o50]))]
    else:
        changes.append((_once(_XGETBV, library, near[0], leaf.start(), "xgetbv").start(), _AVX))
    made = bytearray(library)
    for place, words in changes:
        made[place : place + len(words)] = words
    return bytes(made)


def _once(pattern: re.Pattern[bytes], library: bytes, start: int, end: int, what: str) -> re.Match[bytes]:
    found = list(pattern.finditer(library, max(start, 0), end))
    if len(found) != 1:
        raise UnavailableError(f"onnxruntime {packages.ONNXRUNTIME} has its {what} in {len(found)} places, not in one")
    return found[0]


def _library() -> Path:
    found = list(Path(str(onnxruntime.__file__)).parent.glob("capi/onnxruntime_pybind11_state*.so"))
    if len(found) != 1:
        raise UnavailableError("onnxruntime's library is not where it is in its wheel")
    return found[0]


def _effect(whole: Path) -> int:
    """What the copy makes of a pair sum that is too large for 16 bits."""
    paths = os.pathsep.join((str(whole), *filter(None, sys.path)))
    done = subprocess.run(
        [sys.executable, "-c", _CODE], input=pair_model(), capture_output=True, env={**os.environ, "PYTHONPATH": paths},
        timeout=120, check=False,
    )  # fmt: skip
    try:
        return int(done.stdout)
    except ValueError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UnavailableError(f"the copy of onnxruntime does not run: {' '.join(last)}") from None
