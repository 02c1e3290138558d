"""Parts of one operator side by side, on the cores that this process may use."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")

MOST = 16
"""Threads at most; each holds a part of its own in memory."""


def side_by_side(work: Callable[[Job], Done], jobs: Iterable[Job]) -> Iterator[Done]:
    """work(job) for each job, in their order, whatever thread does them. numpy lets others run while it computes."""
    parts = list(jobs)
    if len(parts) < 2 or count() == 1:
        return map(work, parts)
    return _pool().map(work, parts)


@cache
def count() -> int:
    """How many threads work."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, MOST)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count(), thread_name_prefix="quantseg-simulator")
