"""Times trials in a runtime. Each trial is a session of its own, opened anew in every round.

The rounds of a trial are apart in time, and the fastest counts: a slow moment of the machine affects one round only.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quantseg.errors import ModelError
from quantseg.graph import signature, to_bytes
from quantseg.mixed_precision.latency_model.cutting import own_nodes
from quantseg.mixed_precision.latency_model.trials import Trial
from quantseg.progress import Track, quiet
from quantseg.runtimes import Runtime
from quantseg.runtimes.execution import ExecutedNode
from quantseg.runtimes.latency import random_feeds

RUNS = 5
AGREEMENT = 1.15
"""If the times of two rounds differ by more than this factor, there is a third round."""

_INTO, _OUT_OF = "ReorderInput", "ReorderOutput"
"""Nodes that onnxruntime inserts: into and out of the blocked layout in which it computes float convolutions."""


@dataclass(frozen=True)
class Cost:
    """Nanoseconds. work: the kernels. before, after: changes of layout at float inputs and outputs, where needed."""

    work: int
    before: int = 0
    after: int = 0


Costs = Mapping[str, Cost | None]
"""Trial key → cost; None for what the runtime cannot run."""


def timed(
    candidates: Iterable[Trial], known: Costs, *, runtime: Runtime, threads: int, track: Track = quiet
) -> dict[str, Cost | None]:
    """Times the trials whose keys are not in `known`, equal keys once; the cost is the least over the rounds."""
    todo = {c.key: c for c in candidates if c.key not in known}
    first = _round(todo, runtime, threads, track)
    again = _round({key: todo[key] for key, cost in first.items() if cost is not None}, runtime, threads, track)
    doubtful = {key: todo[key] for key, cost in again.items() if not _agree(cost, first[key])}
    rounds = (first, again, _round(doubtful, runtime, threads, track))
    return {key: functools.reduce(_least, [costs[key] for costs in rounds if key in costs]) for key in todo}


def _round(candidates: Mapping[str, Trial], runtime: Runtime, threads: int, track: Track) -> dict[str, Cost | None]:
    turns = track(candidates.items(), total=len(candidates), what="time kernels")
    return {key: _timed_once(candidate, runtime, threads) for key, candidate in turns}


def _agree(one: Cost | None, other: Cost | None) -> bool:
    if one is None or other is None:
        return True
    return max(one.work, other.work) <= AGREEMENT * min(one.work, other.work)


def _timed_once(candidate: Trial, runtime: Runtime, threads: int) -> Cost | None:
    """The cost measured in one session; None where the runtime does not open or run the model."""
    model = candidate.build()
    feeds = random_feeds(signature(model)[0])
    try:
        executed = runtime.executed(to_bytes(model), feeds, threads=threads, runs=RUNS)
    except ModelError:
        return None
    every = {str(node.name) for node in model.graph}
    own = {str(node.name) for node in own_nodes(model, candidate.nodes)} if candidate.nodes else every
    border = every - own
    return Cost(
        work=_nanoseconds(n for n in executed if n.name not in border and n.op_type not in (_INTO, _OUT_OF)),
        before=_nanoseconds(n for n in executed if n.op_type == _INTO),
        after=_nanoseconds(n for n in executed if n.op_type == _OUT_OF),
    )


def _nanoseconds(nodes: Iterable[ExecutedNode]) -> int:
    return round(1e9 * sum(node.seconds for node in nodes))


def _least(one: Cost | None, other: Cost | None) -> Cost | None:
    if one is None or other is None:
        return None
    return Cost(min(one.work, other.work), min(one.before, other.before), min(one.after, other.after))
