"""Peak memory of a model, measured in a separate process."""

import os
import re
import sys
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import psutil
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.runtimes import InProcess, Runtime, workers

_RUNS = 3


def peak_memory(model: Path, feeds: Mapping[str, NDArray[Any]], *, runtime: Runtime, threads: int) -> int | None:
    """Bytes needed to open the model and run it three times; None where the system does not report memory.

    The peak resident memory of a new process, minus what it used with runtime and feeds loaded but no model yet.
    Raises ModelError where the model does not run or the process is killed.
    """
    with workers.pool(1) as process:
        try:
            growth: int | None = workers.submit(process, _growth, model, dict(feeds), runtime, threads).result()
            return growth
        except BrokenProcessPool as error:
            raise ModelError(
                f"{model}: the process that ran it was killed; free memory or use a smaller input"
            ) from error


def _growth(model: Path, feeds: Mapping[str, NDArray[Any]], runtime: Runtime, threads: int) -> int | None:
    _ = runtime.version  # imports the runtime, whose memory is not the model's
    process = runtime.process(threads) if isinstance(runtime, InProcess) else os.getpid()
    before = psutil.Process(process).memory_info().rss
    session = runtime.open(model, threads=threads)
    for _ in range(_RUNS):
        session.run(feeds)
    peak = peak_of(process)
    return None if peak is None else max(0, peak - before)


def peak_of_this_process() -> int | None:
    """Peak resident memory of this process so far, in bytes; None where the system does not report it."""
    return peak_of(os.getpid())


def peak_of(process: int) -> int | None:
    """Peak resident memory of a process so far, in bytes; None where the system does not report it.

    macOS reports it of this process alone.
    """
    if sys.platform == "linux":
        # Not ru_maxrss: on Linux a new program inherits its parent's value (getrusage(2), "Bugs").
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    if sys.platform == "darwin" and process == os.getpid():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes there
    if sys.platform == "win32":
        return int(psutil.Process(process).memory_info().peak_wset)
    return None
