"""Progress of long work: a library function takes a `Track` and wraps its loop in it.

The library itself never prints: the command line passes a progress bar, or `quiet` where no terminal is attached.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Yields the items unchanged while showing how many of `total` are done."""

    def __call__(self, items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        """The same items. what: describes the work, for the display."""


def quiet(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
    """A Track that displays nothing."""
    return items
