"""All shards in this process, one after the other."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Shard = TypeVar("Shard")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Serial:
    """The engine without parallelism."""

    @property
    def workers(self) -> int:
        """One."""
        return 1

    def __call__(self, make_step: Callable[[], Callable[[Shard], Result]], shards: Iterable[Shard]) -> Iterator[Result]:
        """Yields the results in the order of the shards."""
        step = make_step()
        for shard in shards:
            yield step(shard)
