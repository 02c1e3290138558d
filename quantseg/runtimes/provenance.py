"""Provenance of measurements: versions of the software, and the processor.

The values are the same for all runs on one machine, and do not identify the machine or its user: no time, host name or
path.
"""

import dataclasses
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from quantseg import __version__

PACKAGES = ("numpy", "onnx", "onnx-ir", "onnxruntime")
"""The distributions, besides quantseg, whose versions can change a figure."""

INSTRUCTION_SETS = ("amx_int8", "asimddp", "avx2", "avx512_vnni", "avx512f", "avx_vnni", "i8mm")
"""CPU flags, as Linux spells them, that decide how fast int8 kernels are and whether their sums saturate."""

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Provenance:
    """`packages`: distribution → version. `cores`: the number that this process may use.

    `instruction_sets`: those of `INSTRUCTION_SETS` that the processor has; None where the system does not report them.
    """

    python: str
    packages: dict[str, str]
    os: str
    processor: str
    cores: int
    instruction_sets: tuple[str, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Values for JSON."""
        return dataclasses.asdict(self)


def provenance(*more: str) -> Provenance:
    """The provenance of this process. more: further installed distributions, besides PACKAGES."""
    cpuinfo = _CPUINFO.read_text(encoding="utf-8", errors="replace") if _CPUINFO.is_file() else ""
    return Provenance(
        python=platform.python_version(),
        packages={name: metadata.version(name) for name in (*PACKAGES, *more)} | {"quantseg": __version__},
        os=f"{platform.system()} {platform.machine()}",
        processor=_processor(cpuinfo),
        cores=_cores(),
        instruction_sets=_instruction_sets(cpuinfo),
    )


def _processor(cpuinfo: str) -> str:
    """The processor's model name; on ARM, where cpuinfo has none, the architecture."""
    return next(_values(cpuinfo, "model name"), None) or platform.processor() or platform.machine()


def _instruction_sets(cpuinfo: str) -> tuple[str, ...] | None:
    flags = next(_values(cpuinfo, "flags|Features"), None)
    return None if flags is None else tuple(sorted({*flags.split()} & {*INSTRUCTION_SETS}))


def _values(cpuinfo: str, key: str) -> Iterator[str]:
    return (found[1].strip() for found in re.finditer(rf"^(?:{key})\s*:(.*)$", cpuinfo, re.MULTILINE))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
