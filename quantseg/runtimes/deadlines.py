"""Deadlines of runs: one thread of this process ends those that take too long, such as a Loop that never ends."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_IDLE = 60.0
"""Seconds between two looks of the thread while nothing is due earlier."""


class Deadlines:
    """The runs that are under way, and when each is due. The thread starts with the first of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = itertools.count()
        self._next_look = 0.0
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float, end: Callable[[], None]) -> Iterator[None]:
        """Calls `end`, from another thread, where the context lasts longer than `seconds`."""
        number, due = next(self._numbers), time.monotonic() + seconds
        with self._changed:
            self._due[number] = due, end
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="quantseg-deadlines", daemon=True)
                self._thread.start()
            if due < self._next_look:  # seldom: waking the thread at each run would slow runs down
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._due.pop(number, None)

    def _look(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for number in [number for number, (due, _) in self._due.items() if due <= now]:
                    self._due.pop(number)[1]()
                self._next_look = min((due for due, _ in self._due.values()), default=now + _IDLE)
                self._changed.wait(self._next_look - now)


DEADLINES = Deadlines()
"""Those of this process."""
