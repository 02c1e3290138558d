"""A command in a process of its own, ended by a signal: what it said, and what it left."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.places import ROOT

QUANTSEG = ("-m", "quantseg")
"""Python's arguments for `quantseg`."""
_PATIENCE = 60.0
_LINGERING = 10.0
"""Seconds in which workers have to notice that their parent was killed: one that still starts does so once it runs."""


@dataclass(frozen=True)
class Ended:
    """code: the exit code, negative for a signal. seconds: from the signal to the end, None where it came too late.

    ready: seconds from its start until its signals were guarded. orphans: command lines of processes that outlived it.
    temporaries: what is left in the folder for temporary files.
    """

    code: int
    out: str
    err: str
    seconds: float | None
    ready: float
    orphans: tuple[str, ...]
    temporaries: tuple[str, ...]

    @property
    def said(self) -> tuple[str, ...]:
        """Lines of standard error, without notes."""
        return tuple(line for line in self.err.splitlines() if not line.startswith("note: "))


def heeding_signals() -> None:
    """Run in a command before it starts: Ctrl-C and a closed terminal end it, also where the tests' process ignores
    them, as one in the background or under nohup does.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def ended(
    words: Sequence[object],
    number: signal.Signals | None,
    wait: Callable[["subprocess.Popen[str]"], None],
    temporary: Path,
    python: Sequence[str] = QUANTSEG,
) -> Ended:
    """`quantseg WORDS`, sent the signal once `wait` returns, which is called when the command's signals are guarded.

    None sends nothing. SIGINT goes to all its processes, as from a terminal, the others to the command alone.
    temporary: a folder for temporary files, made here.
    """
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), "NO_COLOR": "1"}
    environment["QUANTSEG_PROGRESS"] = "off"
    command = [sys.executable, *python, *map(str, words)]
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heeding_signals,
    )
    _until_guarded(process, {signal.SIGTERM, number or signal.SIGTERM} - {signal.SIGINT, signal.SIGKILL})
    ready = time.monotonic()
    wait(process)
    sent = None
    if number is not None and process.poll() is None:
        sent = time.monotonic()
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
    over = time.monotonic()
    orphans = _orphans(process.pid)
    out, err = process.communicate()
    return Ended(
        process.returncode,
        out,
        err,
        None if sent is None else over - sent,
        ready - began,
        orphans,
        tuple(sorted(path.name for path in temporary.iterdir())),
    )


def processor_time(process: "subprocess.Popen[str]") -> float:
    """Seconds of processor time that the command and its workers took so far: a measure that a busy machine keeps."""
    try:
        whole = psutil.Process(process.pid)
        times = [part.cpu_times() for part in (whole, *whole.children())]
    except psutil.Error:
        return math.inf
    return sum(time.user + time.system + time.children_user + time.children_system for time in times)


def _until_guarded(process: "subprocess.Popen[str]", numbers: set[signal.Signals]) -> None:
    """Waits until the process handles these signals, which Python by itself does not. Before, nothing can answer."""
    wanted = sum(1 << (number - 1) for number in numbers)
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        for line in status.read_text().splitlines() if status.exists() else ():
            if line.startswith("SigCgt:") and int(line.split()[1], 16) & wanted == wanted:
                return
        if not status.exists():  # not Linux
            time.sleep(0.3)
            return
        time.sleep(0.001)


def _orphans(session: int) -> tuple[str, ...]:
    """Processes of the session that do not end by themselves; they are ended here."""
    until = time.monotonic() + _LINGERING
    while left := _members(session):
        if time.monotonic() > until:
            lines = []
            for process in left:
                lines.append(" ".join(process.cmdline()))
                process.kill()
            return tuple(lines)
        time.sleep(0.02)
    return ()


def _members(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found
