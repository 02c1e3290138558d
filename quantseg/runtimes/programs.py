"""Programs of others that run beside this one: they end with it, whatever ends it."""

import atexit
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from quantseg.files import uninterrupted
from quantseg.runtimes.workers import interrupts_blocked

_running: "dict[int, subprocess.Popen[bytes]]" = {}
"""By the id of the process."""


def start(command: Sequence[str], *, stderr: int | IO[Any] = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    """Starts a program with pipes to its standard input and from its output. Ctrl-C in the terminal does not reach it.

    Raises OSError where it cannot be started. Call `end` when it is not needed any more.
    """
    with uninterrupted, interrupts_blocked():
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        _running[program.pid] = program
    return program


def end(program: "subprocess.Popen[bytes]") -> int:
    """Ends a program that `start` gave, if it still runs, and gives its exit code."""
    if program.poll() is None:
        program.kill()
    code = program.wait()
    _running.pop(program.pid, None)
    for stream in (program.stdin, program.stdout, program.stderr):
        with suppress(OSError):  # a pipe that holds what nobody reads any more
            if stream is not None:
                stream.close()
    return code


def kill_all() -> None:
    """Ends all of them at once, for a process that is about to end. Waits for none."""
    for program in list(_running.values()):
        with suppress(OSError):
            program.kill()


atexit.register(kill_all)
