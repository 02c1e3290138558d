"""Trying many inputs of a target in worker processes, which are watched and begun anew after a crash."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.attempt import ACCEPTED, FINDING, MOST_BYTES, MOST_SECONDS, REFUSED, Outcome
from tests.support.places import ROOT

_GRACE = 30.0
"""Seconds beyond an input's own that a busy machine may take."""
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Bounds:
    """How long a target is tried: so many inputs, and so many seconds, whichever ends first.

    first: the first seed. patience: seconds after which a worker that says nothing is ended.
    """

    inputs: int
    seconds: float
    first: int = 0
    patience: float = MOST_SECONDS + _GRACE


@dataclass
class Tally:
    """What the inputs of one target came to. slowest: (seconds, seed). largest: (bytes, seed). last: the last one."""

    target: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    findings: list[Outcome] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[int, int] = (0, -1)
    last: Outcome | None = None

    def add(self, outcome: Outcome) -> None:
        """Counts one more input."""
        self.inputs, self.last = self.inputs + 1, outcome
        self.accepted += outcome.kind == ACCEPTED
        self.refused += outcome.kind == REFUSED
        if outcome.kind == FINDING:
            self.findings.append(outcome)
        self.slowest = max(self.slowest, (outcome.seconds, outcome.seed))
        self.largest = max(self.largest, (outcome.bytes, outcome.seed))

    @property
    def kinds(self) -> Mapping[str, list[Outcome]]:
        """The findings that look alike, together."""
        found: dict[str, list[Outcome]] = {}
        for one in self.findings:
            found.setdefault(one.text, []).append(one)
        return found


def fuzz(target: str, bounds: Bounds, *, worker: str = "tests.fuzz.worker") -> Tally:
    """Tries a target's inputs within the bounds. worker: the module that is run."""
    tally, end = Tally(target), time.monotonic() + bounds.seconds
    seed, last = bounds.first, bounds.first + bounds.inputs
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as folder:
        while seed < last and time.monotonic() < end:
            run = [
                sys.executable,
                "-m",
                worker,
                target,
                str(seed),
                str(last - seed),
                str(end - time.monotonic()),
                folder,
            ]
            for outcome in _outcomes(run, bounds.patience):
                tally.add(outcome)
                seed = outcome.seed + 1
    return tally


def _outcomes(command: list[str], patience: float) -> Iterator[Outcome]:
    """The outcomes of one worker, the last of them that it died of an input, if it did."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **_THREADS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield from _told(process, errors, patience)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _told(process: "subprocess.Popen[str]", errors: Any, patience: float) -> Iterator[Outcome]:
    lines = _lines(process)
    trying, since, tried = None, time.monotonic(), False
    while True:
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            wrong = _too_much(process.pid, time.monotonic() - since > patience, trying)
            if wrong is None:
                continue
            process.kill()
            yield Outcome(-1 if trying is None else trying, FINDING, wrong, seconds=time.monotonic() - since)
            return
        if line is None:
            break
        message = json.loads(line)
        since = time.monotonic()
        if "begins" in message:
            trying, tried = message["begins"], True
        else:
            trying = None
            yield Outcome(**message)
    code = process.wait()
    if trying is not None or not tried:
        errors.seek(max(errors.seek(0, os.SEEK_END) - 4000, 0))
        said = errors.read().decode(errors="replace")
        if trying is None:
            raise RuntimeError(f"the worker did not begin: {said}")
        yield Outcome(trying, FINDING, f"the process ends: {_named(code)}", said)


def _lines(process: "subprocess.Popen[str]") -> "queue.Queue[str | None]":
    """The worker's lines, as they come; None at their end."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.put(line)
        except ValueError:  # closed, as the worker was ended
            pass
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _too_much(process: int, is_late: bool, trying: int | None) -> str | None:
    """Why a worker that says nothing is ended; None where it may go on."""
    if is_late:
        return "took too long, and was ended"
    if trying is not None and _resident(process) > 2 * MOST_BYTES:
        return f"took more than {MOST_BYTES >> 30} GiB of memory, and was ended"
    return None


def _resident(process: int) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _named(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
