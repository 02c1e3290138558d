"""Times of kernels measured once and kept with the code: they stand in where the runtime itself is not at hand.

A part takes the time of the nearest measured kernel of its kind, scaled by its work.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from quantseg.mixed_precision.latency_model.kernels import Kernel
from quantseg.mixed_precision.latency_model.stopwatch import Cost
from quantseg.mixed_precision.latency_model.trials import Trial

WEB = Path(__file__).parent / "web_kernels.json"
"""Kernels of onnxruntime-web, one thread: made by `python -m tests.bench.web_kernels`."""
_DEPTH = 2.0
"""How much more the depth of a product counts than its work where kernels are compared."""


@dataclass(frozen=True)
class Measured:
    """A kernel that was measured, and its nanoseconds."""

    kernel: Kernel
    nanoseconds: int


@dataclass(frozen=True)
class KernelTable:
    """Kind of kernel → what was measured of it."""

    rows: Mapping[str, tuple[Measured, ...]]

    def costs(self, trials: Iterable[Trial]) -> dict[str, Cost | None]:
        """Trial key → its cost; None for kernels of a kind that was not measured, as if there were none."""
        return {trial.key: None if trial.kernel is None else self._cost(trial.kernel) for trial in trials}

    def _cost(self, wanted: Kernel) -> Cost | None:
        rows = self.rows.get(wanted.kind)
        if not rows:
            return None
        nearest = min(rows, key=lambda row: _distance(row.kernel, wanted))
        return Cost(round(nearest.nanoseconds * wanted.work / nearest.kernel.work))


def read_table(path: Path = WEB) -> KernelTable:
    """The table of a file: {"kernels": {kind: [[work, depth, nanoseconds], …]}}."""
    kinds = json.loads(path.read_text(encoding="utf-8"))["kernels"]
    return KernelTable(
        {k: tuple(Measured(Kernel(k, work, depth), ns) for work, depth, ns in v) for k, v in kinds.items()}
    )


def _distance(one: Kernel, other: Kernel) -> float:
    return abs(math.log(max(1, one.work) / max(1, other.work))) + _DEPTH * abs(math.log(one.depth / other.depth))
