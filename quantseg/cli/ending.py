"""Clean ends: on Ctrl-C, SIGTERM or a closed terminal a command cleans up, says one line, and exits with 128 + signal.

Python's own way, an exception in the main thread, shows a traceback where it strikes during an import or in a
destructor, may be swallowed, and waits for native code. Here a signal does nothing in the main thread: it is written to
a pipe, and a thread that reads it ends the process. Only modules built into Python are imported, so that the guard
stands before anything else; `signal` would first import enum, which takes milliseconds.
"""

import _signal  # type: ignore[import-not-found]
import _thread
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up", "SIGBREAK": "interrupted"}
"""Name of a signal → what is said when it ends a command. Each system has some of them."""
_SIGNALS = {int(getattr(_signal, name)): word for name, word in _WORDS.items() if hasattr(_signal, name)}
_CLEAR_LINE = "\r\x1b[K\x1b[?25h"
"""For a terminal: removes a progress bar, or the ^C that was typed, and shows the cursor again."""

_ending = _thread.allocate_lock()
"""Held from the signal on."""
_actions: "tuple[Callable[[], object], ...]" = ()
_remains: "Callable[[], str | None]" = lambda: None  # noqa: E731


def guard() -> None:
    """Watches for the signals from now on; those that the caller has set to be ignored stay ignored."""
    reading, writing = os.pipe()
    if hasattr(os, "set_blocking"):  # on Windows from Python 3.12 on, and not needed there
        os.set_blocking(writing, False)
    _signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    _thread.start_new_thread(_watch, (reading,))
    for number in _SIGNALS:
        if _signal.getsignal(number) is not _signal.SIG_IGN:
            _signal.signal(number, _nothing)


def at_end(*actions: "Callable[[], object]") -> None:
    """Sets what is called before a signal ends the process. No action may import anything or wait for long."""
    global _actions
    _actions = actions


def what_remains(text: "Callable[[], str | None]") -> None:
    """Sets what follows "interrupted": the words of `text`, called at the end; None says nothing."""
    global _remains
    _remains = text


def begun() -> bool:
    """Whether a signal is ending the process."""
    return _ending.locked()


def settle() -> None:
    """Called before the main thread says its last words and exits: does not return if the process is ending already."""
    _ending.acquire()
    _ending.release()


def leave(code: int) -> None:
    """Ends the process, unless a signal is ending it already, without Python's own end, in which none is answered.

    That takes long where large libraries are loaded; a command has written and closed all by then.
    """
    _ending.acquire()
    for stream in (sys.stdout, sys.stderr):
        _tried(stream.flush)
    os._exit(code)


def _nothing(number: int, frame: object) -> None:
    """A signal's handler: Python writes to the pipe only for signals that have one."""


def _watch(reading: int) -> None:
    number = _next_signal(reading)
    _ending.acquire()
    _thread.start_new_thread(_insist, (reading,))
    for action in _actions:
        _tried(action)
    line = "; ".join(filter(None, (_SIGNALS[number], _tried(_remains)))) + "\n"
    _tried(lambda: os.write(2, ((_CLEAR_LINE if os.isatty(2) else "") + line).encode(errors="backslashreplace")))
    os._exit(128 + number)


def _insist(reading: int) -> None:
    """A second signal ends at once what takes too long to clean up."""
    os._exit(128 + _next_signal(reading))


def _next_signal(reading: int) -> int:
    while (number := os.read(reading, 1)[0]) not in _SIGNALS:
        pass
    return number


def _tried(action: "Callable[[], object]") -> str | None:
    """The action's words. Whatever goes wrong on the way, the process ends."""
    try:
        result = action()
    except Exception:
        return None
    return result if isinstance(result, str) else None
