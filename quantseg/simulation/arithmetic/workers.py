"""A thread pool for the parts of one operator, on the cores that this process may use."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")

MOST = 16
"""The most threads: each holds a part of its own in memory."""


def side_by_side(work: Callable[[Job], Done], jobs: Iterable[Job]) -> Iterator[Done]:
    """work(job) of each job, computed in threads and yielded in order. numpy releases the GIL while it computes."""
    parts = list(jobs)
    if len(parts) < 2 or count() == 1:
        return map(work, parts)
    return _pool().map(work, parts)


@cache
def count() -> int:
    """The number of threads."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, MOST)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count(), thread_name_prefix="quantseg-simulator")
