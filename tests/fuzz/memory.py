"""How much memory this process holds, and has held at most. Source: proc_pid_status(5), proc_pid_clear_refs(5)."""

import resource
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def held() -> int:
    """Bytes of memory in use now; 0 where the system does not tell."""
    return _field("VmRSS")


def peak() -> int:
    """The most bytes in use since `forget_peak`, or since the start where the system cannot forget."""
    return _field("VmHWM")


def forget_peak() -> None:
    """Lets `peak` begin anew."""
    with suppress(OSError):
        _CLEAR.write_text("5")


def limit_growth(extra: int) -> None:
    """From now on, the process can ask for `extra` more bytes of addresses; beyond, Python raises MemoryError."""
    mapped = _field("VmSize")
    if mapped:
        resource.setrlimit(resource.RLIMIT_AS, (mapped + extra, mapped + extra))


def _field(name: str) -> int:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:")), 0)
