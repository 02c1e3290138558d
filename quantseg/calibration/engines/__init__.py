"""Where a step over many shards of data runs: in this process, or in several. The results never depend on it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from quantseg.calibration.engines import processes, serial

Shard = TypeVar("Shard")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs one step on every shard and yields the results in any order, as they come.

    make_step is called once in each worker and must be picklable; it opens what the step needs (a session, a dataset).
    The caller combines results by an operation whose order does not matter, so that any engine gives the same bytes.
    """

    def __call__(
        self, make_step: Callable[[], Callable[[Shard], Result]], shards: Sequence[Shard], *, workers: int
    ) -> Iterator[Result]:
        """The results, as they come."""


ENGINES: dict[str, Engine] = {"serial": serial.run, "processes": processes.run}
