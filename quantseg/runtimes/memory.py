"""How much memory a model takes: measured in a process of its own, which holds nothing else."""

import re
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.runtimes import Runtime

_RUNS = 3


def peak_memory(model: Path, feeds: Mapping[str, NDArray[Any]], *, runtime: Runtime, threads: int) -> int | None:
    """Bytes that opening the model and running it three times takes; None where the system cannot tell.

    The highest resident memory of a fresh process, less what it held with runtime and feeds loaded but no
    model yet. Raises ModelError where the model does not run or the process is killed.
    """
    # Spawned, not forked: a fork starts with its parent's memory and would report that.
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(_growth, model, dict(feeds), runtime, threads).result()
        except BrokenProcessPool as error:
            raise ModelError(
                f"{model}: the process that ran it was killed; free memory or use a smaller input"
            ) from error


def _growth(model: Path, feeds: Mapping[str, NDArray[Any]], runtime: Runtime, threads: int) -> int | None:
    _ = runtime.version  # an extra is imported when it is asked for something: its memory is not the model's
    before = psutil.Process().memory_info().rss
    session = runtime.open(model, threads=threads)
    for _ in range(_RUNS):
        session.run(feeds)
    peak = peak_of_this_process()
    return None if peak is None else max(0, peak - before)


def peak_of_this_process() -> int | None:
    """Highest resident memory of this process so far, in bytes."""
    if sys.platform == "linux":
        # Not ru_maxrss: Linux hands the parent's down to a new program (getrusage(2), "Bugs").
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes there
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    return None
