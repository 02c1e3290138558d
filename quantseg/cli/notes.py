"""Notes on the terminal: those of a result, and the library's log. There are at most MOST lines of each."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from quantseg.cli import console
from quantseg.errors import printable

MOST, WIDTH = 5, 100
"""Lines, and the columns of each."""


def show(texts: Sequence[str], remedy: str) -> None:
    """Prints notes on standard output, whole, and how many are left out. remedy: what lists them all."""
    lines = [printable(f"note: {text}") for text in texts]
    ends = list(accumulate(-(-len(line) // WIDTH) for line in lines))
    shown = len(lines) if not lines or ends[-1] <= MOST else sum(end < MOST for end in ends)
    for line in lines[:shown]:
        console.line(line)
    if shown < len(lines):
        console.line(_left(len(lines) - shown, shown, remedy))


@contextmanager
def of_log(debug: bool) -> Iterator[None]:
    """Prints the library's log to standard error, one line for each message; debug: all of them, also those below."""
    handler = _All() if debug else _Few()
    handler.setFormatter(_OneLine("note: %(message)s"))
    logger = logging.getLogger("quantseg")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
        if isinstance(handler, _Few):
            handler.tell_rest()


class _All(logging.Handler):
    """Prints messages beside the progress display."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a message."""
        try:
            with console.screen.aside():
                sys.stderr.write(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)


class _Few(_All):
    """Prints messages as they come; from the last line on they wait until it is known how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = 0
        self._waiting: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a message, or lets it wait."""
        if self._shown < MOST - 1:
            self._shown += 1
            super().emit(record)
        else:
            self._waiting.append(record)

    def tell_rest(self) -> None:
        """Prints the message that waits, or how many do."""
        if len(self._waiting) == 1:
            super().emit(self._waiting[0])
        elif self._waiting:
            console.complain(_left(len(self._waiting), self._shown, "--debug lists them"))
        self._waiting = []


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


def _left(count: int, shown: int, remedy: str) -> str:
    return f"note: {count}{' more' if shown else ''} note{'s' if count > 1 else ''}; {remedy}"
