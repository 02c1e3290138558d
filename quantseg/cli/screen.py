"""Shows a display on standard error: one bar on a terminal, elsewhere a line at least every ten seconds.

A thread asks for the line, so that work without items is not silent either. What a command says of its own goes through
`aside`, which takes the bar away first.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from quantseg.cli import ending
from quantseg.cli.display import Display

SILENCE = 10.0
"""Most seconds between two lines where standard error is no terminal."""
PERIOD = 0.25
"""Seconds between two looks at the display."""
VARIABLE = "QUANTSEG_PROGRESS"
"""The environment variable that, set to off, has nothing shown."""
CLEAR = "\r\x1b[K"
_SHORTEST, _LONGEST = 6, 20
"""Characters of the bar."""


class Screen:
    """Where a display is shown. stream: None is standard error at the time of writing. clock: seconds."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.display = Display(clock)
        self._stream, self._clock = stream, clock
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._last, self._drawn = clock(), False

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Shows the display from now on, and takes the bar away at the end."""
        self.display.plan()
        self._last, self._ended = self._clock(), threading.Event()
        thread = threading.Thread(target=self._watch, args=(self._ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            with self.aside():
                pass

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Something else is written: the bar is taken away, and drawn again later."""
        with self._lock:
            if self._drawn:
                self._write(CLEAR)
                self._drawn = False
            yield

    def beat(self) -> None:
        """Draws the bar anew, or writes a line where the last one is long enough ago."""
        now = self._clock()
        with self._lock:
            if self._ended.is_set() or ending.begun() or os.environ.get(VARIABLE) == "off":
                return
            if self._on_terminal():
                if now - self._last >= 2 * PERIOD:
                    self._write(f"\r{self._bar()}\x1b[K")
                    self._drawn = True
            elif now - self._last >= SILENCE - 2 * PERIOD:
                self._write(f"{self.display.line()}\n")
                self._last = now

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(PERIOD):
            self.beat()

    def _bar(self) -> str:
        """The display's line with a bar behind it, as wide as the terminal at most."""
        text, share = self.display.line(), self.display.share
        width = shutil.get_terminal_size().columns - 1
        room = min(width - len(text) - 1, _LONGEST)
        if share is not None and room >= _SHORTEST:
            full, empty = "━╌" if (self._to.encoding or "").lower().startswith("utf") else "#-"
            done = round(room * share)
            text = f"{full * done}{empty * (room - done)} {text}"
        return text[:width]

    @property
    def _to(self) -> TextIO:
        return self._stream or sys.stderr

    def _on_terminal(self) -> bool:
        try:
            return self._to.isatty() and os.environ.get("TERM") != "dumb"
        except ValueError:  # closed
            return False

    def _write(self, text: str) -> None:
        try:
            self._to.write(text)
            self._to.flush()
        except (OSError, ValueError):  # nobody reads it any more
            self._ended.set()
