"""Shards spread over threads of this process, for steps that release Python's global lock, as sessions do."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

Shard = TypeVar("Shard")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Threads:
    """An engine of `workers` threads, which share one step."""

    workers: int

    def __call__(self, make_step: Callable[[], Callable[[Shard], Result]], shards: Iterable[Shard]) -> Iterator[Result]:
        """Yields the results in the order of the shards. At most two shards per worker are in flight.

        Raises the first exception of a shard; shards that have not begun are cancelled.
        """
        step, waiting = make_step(), iter(shards)
        with ThreadPoolExecutor(self.workers) as pool:
            running: deque[Future[Any]] = deque(
                pool.submit(step, shard) for shard in itertools.islice(waiting, 2 * self.workers)
            )
            try:
                while running:
                    yield running.popleft().result()
                    running.extend(pool.submit(step, shard) for shard in itertools.islice(waiting, 1))
            finally:
                pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C, do not finish the rest
