"""The speed-up check: times the int8 model against the float model, and other plans if int8 is not faster."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.errors import QuantSegError
from quantseg.progress import Track, quiet
from quantseg.runtimes import Runtime
from quantseg.runtimes.latency import Timing, Turns, benchmark

FLOAT, INT8 = "float", "int8"
TURNS = Turns(rounds=5, runs=5)

Feeds = Mapping[str, NDArray[Any]]
Build = Callable[[], ir.Model]


@dataclass(frozen=True)
class SpeedCheck:
    """Latencies in alternating rounds. reference: of the float model. made: of the int8 model. threads: of the runtime.

    offers: of models made with other plans, only if int8 is not faster; a plan that cannot be made is left out.
    """

    reference: Timing
    made: Timing
    threads: int
    offers: tuple[Timing, ...] = ()

    @property
    def is_faster(self) -> bool:
        """Whether the int8 model's median latency is below the float model's."""
        return self.made.median_ms < self.reference.median_ms

    @property
    def best(self) -> Timing | None:
        """The fastest of the other plans' models; None if none is faster than the float model."""
        faster = [offer for offer in self.offers if offer.median_ms < self.reference.median_ms]
        return min(faster, key=lambda offer: offer.median_ms, default=None)

    def to_json(self) -> dict[str, object]:
        """Values for JSON."""
        timings = (self.reference, self.made, *self.offers)
        return {"threads": self.threads, "timings": [asdict(timing) for timing in timings]}


def check_speed(
    models: tuple[Path, Path],
    feeds: tuple[Feeds, Feeds],
    others: Mapping[str, Build],
    *,
    runtime: Runtime,
    threads: int,
    track: Track = quiet,
) -> SpeedCheck:
    """Times the float and the int8 model in turns; if int8 is not faster, once more together with the other plans.

    models: (float, int8). feeds: inputs of the float model, and of all int8 models. others: name of a plan → function
    that makes its model. Raises ModelError.
    """
    first = _timed(dict(zip((FLOAT, INT8), models, strict=True)), feeds, runtime=runtime, threads=threads, track=track)
    outcome = SpeedCheck(first[0], first[1], threads)
    if outcome.is_faster:
        return outcome
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        tried = dict(zip((FLOAT, INT8), models, strict=True))
        for number, (name, build) in enumerate(others.items()):
            path = Path(folder) / f"{number}.onnx"
            try:
                graph.save(build(), path)
            except QuantSegError:  # a plan under which every node stays float, or whose model does not load here
                continue
            tried[name] = path
        again = _timed(tried, feeds, runtime=runtime, threads=threads, track=track)
    return SpeedCheck(again[0], again[1], threads, again[2:])


def _timed(
    models: Mapping[str, Path], feeds: tuple[Feeds, Feeds], *, runtime: Runtime, threads: int, track: Track
) -> tuple[Timing, ...]:
    inputs = {name: feeds[0] if name == FLOAT else feeds[1] for name in models}
    return benchmark(models, inputs, runtime=runtime, threads=threads, turns=TURNS, track=track)
