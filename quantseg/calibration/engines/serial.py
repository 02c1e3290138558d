"""Every shard in this process, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Shard = TypeVar("Shard")
Result = TypeVar("Result")


def run(
    make_step: Callable[[], Callable[[Shard], Result]], shards: Sequence[Shard], *, workers: int = 1
) -> Iterator[Result]:
    """Yields the results in the order of the shards. `workers` is accepted and has no meaning here."""
    step = make_step()
    for shard in shards:
        yield step(shard)
