"""Engines: a function runs on many shards serially, in threads, or in processes. Results do not depend on the engine.

A new engine is a file and a line in ENGINES.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

from quantseg.calibration.engines.processes import Processes
from quantseg.calibration.engines.serial import Serial
from quantseg.calibration.engines.threads import Threads
from quantseg.errors import CalibrationError

__all__ = ["ENGINES", "Engine", "Processes", "Serial", "Threads", "engine_named", "in_order"]

Shard = TypeVar("Shard")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs a step on every shard and yields the results as they are completed, in any order.

    make_step is called once in each worker and must be picklable; it opens what the step needs (a session, a dataset).
    Callers combine results by a commutative operation, so that every engine gives the same bytes.
    """

    @property
    def workers(self) -> int:
        """How many shards run at a time."""

    def __call__(self, make_step: Callable[[], Callable[[Shard], Result]], shards: Iterable[Shard]) -> Iterator[Result]:
        """The results, as they are completed."""


ENGINES: Mapping[str, Callable[[int], Engine]] = {
    "serial": lambda _: Serial(),
    "threads": Threads,
    "processes": Processes,
}
"""Name → (number of workers) → engine."""


def engine_named(words: str) -> Engine:
    """The engine from `NAME` or `NAME:WORKERS`, as in processes:4. Raises CalibrationError for anything else."""
    name, colon, count = words.partition(":")
    if name not in ENGINES or (colon and (not count.isdecimal() or int(count) == 0)):
        raise CalibrationError(f"{words!r} is no engine; choose {', '.join(ENGINES)}, with workers as in processes:4")
    engine = ENGINES[name](int(count or 1))
    if count and engine.workers != int(count):
        raise CalibrationError(f"{words!r}: {name} has {engine.workers} worker; choose threads or processes")
    return engine


def in_order(results: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    """Results sorted by their number, from 0 on, as soon as each is available: float sums depend on the order."""
    early: dict[int, Result] = {}
    wanted = 0
    for number, result in results:
        early[number] = result
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1
