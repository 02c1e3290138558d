"""The latency comparison: times several models fairly.

The threads of a session spin for a while after a run and take time from any other session. So only one session is open
at a time; the models take turns in rounds, so that a slow phase of the machine affects all of them; each round opens
its sessions anew, since the memory layout of a session changes its speed. Absolute latencies depend on the state of the
machine at the time; the ratios between the rows of one benchmark are what can be compared.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError, printable
from quantseg.graph import TensorSpec
from quantseg.progress import Track, quiet
from quantseg.runtimes import Runtime, TimedThere, for_file
from quantseg.runtimes.memory import peak_memory
from quantseg.runtimes.on_disk import file_bytes

_WARM_UP = 3
_MOST_ITEMS = 1 << 28
"""Elements of an input that is drawn: 1 GiB of float32."""


@dataclass(frozen=True)
class Timing:
    """One row of a benchmark: milliseconds per run over all rounds.

    `ratio`: how many times as fast as the first row, by medians. `file_bytes`: external data included.
    `peak_memory_bytes`: see `quantseg.runtimes.memory.peak_memory`.
    """

    name: str
    median_ms: float
    minimum_ms: float
    p10_ms: float
    p90_ms: float
    ratio: float
    file_bytes: int
    peak_memory_bytes: int | None


class Timings(tuple[Timing, ...]):
    """The rows of one benchmark."""

    __slots__ = ()

    def __str__(self) -> str:
        rows = (
            f"\n  {printable(t.name)}: median {t.median_ms:.2f} ms ({t.p10_ms:.2f} … {t.p90_ms:.2f}), {t.ratio:.2f}x, "
            f"{t.file_bytes / 1e6:.2f} MB"
            for t in self
        )
        return f"{len(self)} models timed in turns; ratios are to the first{''.join(rows)}"


@dataclass(frozen=True)
class Turns:
    """rounds: in how many the models take turns. runs: timed runs of each model in a round."""

    rounds: int = 5
    runs: int = 10


def benchmark(
    models: Mapping[str, Path],
    feeds: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    *,
    runtime: Runtime | Mapping[str, Runtime],
    threads: int,
    turns: Turns | None = None,
    track: Track = quiet,
) -> Timings:
    """Times every model, in the order given; ratios are relative to the first.

    `runtime`: one for all models, or a mapping from model name; .tflite files run in LiteRT whatever it is. `feeds`:
    inputs by model name; a model without an entry gets `random_feeds`. Each round runs a model three times to warm up
    before it is timed. Raises ModelError where a model does not load or run.
    """
    asked = runtime if isinstance(runtime, Mapping) else dict.fromkeys(models, runtime)
    runtimes = {name: for_file(asked[name], path) for name, path in models.items()}
    sizes = {name: file_bytes(path) for name, path in models.items()}
    given = feeds or {}
    inputs = {name: given[name] if name in given else _drawn(path, runtimes[name]) for name, path in models.items()}
    peaks = {
        name: peak_memory(path, inputs[name], runtime=runtimes[name], threads=threads)
        for name, path in track(models.items(), total=len(models), what="measure memory")
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    how = turns or Turns()
    order = [name for _ in range(how.rounds) for name in models]
    for name in track(order, total=len(order), what="time models"):
        seconds[name] += timed_runs(runtimes[name], models[name], inputs[name], threads, how.runs)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    first = next(iter(medians.values()), 0.0)
    return Timings(
        Timing(
            name=name,
            median_ms=1e3 * medians[name],
            minimum_ms=1e3 * min(times),
            p10_ms=1e3 * float(np.percentile(times, 10)),
            p90_ms=1e3 * float(np.percentile(times, 90)),
            ratio=first / medians[name],
            file_bytes=sizes[name],
            peak_memory_bytes=peaks[name],
        )
        for name, times in seconds.items()
    )


def random_feeds(inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """Random inputs, the same on every call: standard normal for float, small integers otherwise; batch size 1.

    Raises ModelError for an input with a dynamic dimension other than the batch.
    """
    rng = np.random.default_rng(0)
    return {spec.name: _random(spec, rng) for spec in inputs}


def timed_runs(
    runtime: Runtime, model: Path | bytes, feeds: Mapping[str, NDArray[Any]], threads: int, runs: int
) -> list[float]:
    """Seconds of each of `runs` runs in a new session, after three to warm up. Raises ModelError."""
    session = runtime.open(model, threads=threads)
    try:
        if isinstance(session, TimedThere):
            return session.times(feeds, warm_up=_WARM_UP, runs=runs)
        for _ in range(_WARM_UP):
            session.run(feeds)
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            session.run(feeds)
            times.append(time.perf_counter() - start)
        return times
    finally:
        session.close()


def _drawn(model: Path, runtime: Runtime) -> dict[str, NDArray[Any]]:
    session = runtime.open(model, threads=1)
    try:
        return random_feeds(session.inputs)
    finally:
        session.close()


def _random(spec: TensorSpec, rng: np.random.Generator) -> NDArray[Any]:
    shape = tuple(1 if size is None and axis == 0 else size for axis, size in enumerate(spec.shape))
    if None in shape:
        raise ModelError(f"input {spec.name!r} has dynamic sizes {spec.shape}; give data to time it with")
    sizes = [size for size in shape if size is not None]
    if min(sizes, default=0) < 0 or math.prod(sizes) > _MOST_ITEMS:
        raise ModelError(f"input {spec} is of a size that no tensor has; export the model again, or give its size")
    if "float" in spec.dtype:
        return rng.standard_normal(sizes).astype(spec.dtype)
    return rng.integers(0, 2 if spec.dtype == "bool" else 100, sizes).astype(spec.dtype)
