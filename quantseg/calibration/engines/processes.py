"""Shards spread over worker processes, each of which opens the model once."""

import functools
import itertools
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from quantseg.errors import CalibrationError
from quantseg.runtimes import workers

Shard = TypeVar("Shard")
Result = TypeVar("Result")

_step: Callable[[], Callable[[Any], Any]]
"""This worker process's step, made when the first shard comes."""


def _start(file: Path) -> None:
    global _step
    _step = functools.cache(lambda: pickle.loads(file.read_bytes())())


def _work(shard: Any) -> Any:
    return _step()(shard)


@dataclass(frozen=True)
class Processes:
    """An engine of `workers` processes."""

    workers: int

    def __call__(self, make_step: Callable[[], Callable[[Shard], Result]], shards: Iterable[Shard]) -> Iterator[Result]:
        """Yields results as they are completed. At most two shards per worker are in flight, which bounds memory.

        Raises the first exception of a shard, and CalibrationError where a worker dies (out of memory, for instance).
        """
        waiting = iter(shards)
        # In a file, not an argument: while a worker reads large arguments, the next one is not started.
        with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
            file = Path(folder) / "step"
            file.write_bytes(pickle.dumps(make_step))
            with workers.pool(self.workers, _start, file) as pool:
                give = functools.partial(workers.submit, pool, _work)
                running: set[Future[Any]] = {give(shard) for shard in itertools.islice(waiting, 2 * self.workers)}
                try:
                    while running:
                        done, running = wait(running, return_when=FIRST_COMPLETED)
                        for future in done:
                            yield future.result()
                            running |= {give(shard) for shard in itertools.islice(waiting, 1)}
                except BrokenProcessPool as error:
                    raise CalibrationError(
                        "a worker process died, most often for want of memory; use fewer engine=processes:…"
                    ) from error
                finally:
                    for future in running:
                        future.cancel()
