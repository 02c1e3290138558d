"""Shards spread over worker processes, each of which opens the model once."""

import functools
import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from quantseg.errors import CalibrationError

Shard = TypeVar("Shard")
Result = TypeVar("Result")

_make_step: Callable[[], Callable[[Any], Any]]
"""Makes this worker process's step; set once when the process starts."""


def _start(make_step: Callable[[], Callable[[Any], Any]]) -> None:
    global _make_step
    _make_step = functools.cache(make_step)


def _work(shard: Any) -> Any:
    return _make_step()(shard)


@dataclass(frozen=True)
class Processes:
    """An engine of `workers` processes."""

    workers: int

    def __call__(self, make_step: Callable[[], Callable[[Shard], Result]], shards: Iterable[Shard]) -> Iterator[Result]:
        """Yields results as they are completed. At most two shards per worker are in flight, which bounds memory.

        Raises the first exception of a shard, and CalibrationError where a worker dies (out of memory, for instance).
        """
        context = multiprocessing.get_context("spawn")
        waiting = iter(shards)
        with ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start, initargs=(make_step,)) as pool:
            running: set[Future[Any]] = {pool.submit(_work, s) for s in itertools.islice(waiting, 2 * self.workers)}
            try:
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
                        running |= {pool.submit(_work, s) for s in itertools.islice(waiting, 1)}
            except BrokenProcessPool as error:
                raise CalibrationError(
                    "a worker process died, most often for want of memory; use fewer engine=processes:…"
                ) from error
            finally:
                for future in running:
                    future.cancel()
