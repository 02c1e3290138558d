"""Worker processes that are silent on Ctrl-C, and end when their parent does, even if it was killed."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

_PR_SET_PDEATHSIG = 1


def pool(workers: int, prepare: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """A pool of processes, each of which calls prepare(*arguments) first. Work is given to it by `submit`.

    The processes are spawned, not forked: a fork would start with its parent's memory, locks and threads. Arguments
    should be small: while a process reads them, the next one is not started.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(prepare, arguments))


def submit(pool: ProcessPoolExecutor, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
    """The future of function(*arguments) in a worker, which is started if need be."""
    from quantseg.files import uninterrupted

    with uninterrupted, interrupts_blocked():
        return pool.submit(function, *arguments)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Blocks SIGINT in this thread: a process that starts meanwhile has it blocked for good, from its beginning on.

    Ctrl-C goes to all processes of the terminal. The parent's other threads still take it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows: `_begin` is the earliest place there
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def watch_parent() -> None:
    """Ends this worker when its parent ends, on every system: the pipe that multiprocessing keeps to it closes then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True, name="quantseg-parent").start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _begin(prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent()
    if sys.platform == "linux":  # at once, even in native code that holds Python's lock
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if prepare is not None:
        prepare(*arguments)
