"""Progress of long work: a library function takes a `Track`, wraps its loops in it, and may say what is still to come.

The library itself never prints: the command line passes a display, everybody else `quiet` or a function of their own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


class Track(Protocol):
    """Yields the items unchanged while showing how many of `total` are done."""

    def __call__(self, items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        """The same items. what: describes the work, for the display."""


def quiet(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
    """A Track that displays nothing."""
    return items


@dataclass(frozen=True)
class Stage:
    """A part of long work. what: the name that its loop gives to the Track. work: how much it is, in any unit."""

    what: str
    work: float = 0.0


@runtime_checkable
class Forecast(Protocol):
    """What a Track may also offer: to be told what is still to come, so that it can tell the time that is left."""

    def expect(self, stages: Sequence[Stage]) -> None:
        """The stages that come, in their order; the unit of their work is the same in all calls."""


def expect(track: Track, stages: Sequence[Stage]) -> None:
    """Tells the Track what is still to come, if it wants to know."""
    if isinstance(track, Forecast):
        track.expect(stages)


@contextmanager
def under_way(track: Track, what: str, *, total: int = 1) -> Iterator[Callable[[], None]]:
    """Shows work that is no loop, for as long as the context lasts; gives what is called after each of its parts."""
    parts = iter(track(range(total), total=total, what=what))

    def done() -> None:
        next(parts, None)

    done()
    yield done
    for _ in parts:
        pass
