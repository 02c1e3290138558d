"""How long work tells that it is alive: a library function takes a `Track` and wraps its loop in it.

The library itself never prints; the command line passes a bar, tests and pipes pass `quiet`.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Yields the items unchanged while showing how many of `total` are done."""

    def __call__(self, items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        """The same items; `what` is done to them."""


def quiet(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
    """The progress display that shows nothing."""
    return items
