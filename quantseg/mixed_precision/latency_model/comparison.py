"""The latency comparison of whole models, since the sum of the parts' times is only an estimate.

The parts' times do not include: data that is still in the processor's cache, threads that wait for each other between
kernels, and operators that the runtime fuses across parts.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph import as_session_source, digest
from quantseg.mixed_precision.latency_model import cache
from quantseg.mixed_precision.latency_model.stopwatch import Cost
from quantseg.mixed_precision.latency_model.target import Bench
from quantseg.runtimes.latency import timed_runs

ROUNDS, RUNS = 4, 6


def compare_latency(models: Sequence[ir.Model], feeds: Mapping[str, NDArray[Any]], bench: Bench) -> tuple[float, ...]:
    """The latency of each model in milliseconds: the median over alternating rounds, with one session open at a time.

    Read from disk where all models have been timed before. Raises ModelError where the runtime does not open a model.
    """
    machine = cache.this_machine(bench.runtime, bench.threads)
    known = {} if bench.kept is None else cache.read(bench.kept, machine)
    keys = [f"model {_digest(model)}" for model in models]
    found = [known.get(key) for key in keys]
    if not all(found):
        seconds: dict[str, list[float]] = {key: [] for key in keys}
        turns = [(key, model) for _ in range(ROUNDS) for key, model in zip(keys, models, strict=True)]
        for key, model in bench.track(turns, total=len(turns), what="time whole models"):
            with as_session_source(model) as source:
                seconds[key] += timed_runs(bench.runtime, source, feeds, bench.threads, RUNS)
        costs = {key: Cost(round(1e9 * float(np.median(times)))) for key, times in seconds.items()}
        if bench.kept is not None:
            cache.write(bench.kept, machine, costs)
        found = [costs[key] for key in keys]
    return tuple(1e-6 * cost.work for cost in found if cost is not None)


def _digest(model: ir.Model) -> str:
    with as_session_source(model) as source:
        return hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else digest(source)
