"""One folder for all that is temporary during a command, so that its end leaves nothing behind."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantseg.cli import ending

_VARIABLES = ("TMPDIR", "PYTHONWARNINGS")
_TRACKED = "ignore:resource_tracker:UserWarning"
"""Python's tracker of semaphores, a process of its own, would warn that it removes those of a command that ended."""
_TRIES = 20
_PAUSE = 0.01


@contextmanager
def own_temporaries() -> Iterator[None]:
    """Puts temporary files, those of workers and other libraries too, into one folder, which is removed at the end.

    So it is when a signal ends the command, with its workers and every file that is not complete. Where no folder can
    be made, temporary files stay where they are: most commands need none.
    """
    from quantseg import files

    kept = tempfile.tempdir, {name: os.environ.get(name) for name in _VARIABLES}
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _TRACKED)))
    try:
        folder = tempfile.mkdtemp(prefix="quantseg-")
        tempfile.tempdir = os.environ["TMPDIR"] = folder
    except OSError:
        folder = ""
    # Files twice: the main thread goes on meanwhile.
    ending.at_end(files.abandon, _stop_workers, _stop_programs, lambda: _remove(folder), files.abandon)
    try:
        yield
    finally:
        ending.at_end()
        _stop_programs()
        shutil.rmtree(folder, ignore_errors=True)
        tempfile.tempdir = kept[0]
        for name, value in kept[1].items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _stop_workers() -> None:
    """Ends this process's workers; `multiprocessing` is loaded where there are any."""
    package = sys.modules.get("multiprocessing")
    for worker in () if package is None else package.active_children():
        worker.kill()


def _stop_programs() -> None:
    """Ends the programs that run beside this process; their module is loaded where there are any."""
    module = sys.modules.get("quantseg.runtimes.programs")
    if module is not None:
        module.kill_all()


def _remove(folder: str) -> None:
    """Removes the folder, to which the main thread may still write."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return
        time.sleep(_PAUSE)
