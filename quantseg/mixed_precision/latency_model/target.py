"""A target: the format, settings and placement that are fastest on this machine, and what had to be done without."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quantseg.errors import PlanError
from quantseg.graph.preparation import Prepared
from quantseg.mixed_precision.latency_model import cache, pricing
from quantseg.mixed_precision.latency_model.candidates import Way
from quantseg.mixed_precision.latency_model.placing import NodeCost, place
from quantseg.mixed_precision.latency_model.pricing import Choice
from quantseg.mixed_precision.latency_model.stopwatch import Costs, timed
from quantseg.mixed_precision.latency_model.units import sized, units_of
from quantseg.progress import Track, quiet
from quantseg.quantization.operators import IntegerForm, Kind
from quantseg.quantization.plan import Placement, QuantSettings
from quantseg.quantization.plan.decisions import Decisions, decide
from quantseg.quantization.plan.placement import UNMEASURED
from quantseg.runtimes import Runtime

Wish = Literal["measured", "latency-first", "int8-everywhere"]
"""measured: the fastest placement that keeps the accuracy rules. latency-first: the fastest one. int8-everywhere: every
integer form is taken, whatever it costs."""

PREFERRED = ("channels-last", "qdq")
"""The fastest format, and the one that every runtime reads."""


@dataclass(frozen=True)
class Fitted:
    """What suits this machine. costs: of the nodes that were timed. notes: the fallbacks taken, one line each.

    by_rule: the placement without what was measured of parts; whole models tell which of the two is faster.
    """

    qformat: str
    placement: Placement
    by_rule: Placement = UNMEASURED
    costs: tuple[NodeCost, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bench:
    """Where it is timed. kept: the folder of the timings on disk; None keeps none."""

    runtime: Runtime
    threads: int
    kept: Path | None
    track: Track = quiet


def fit(
    prepared: Prepared,
    inputs: Mapping[str, Sequence[int]],
    settings: QuantSettings,
    bench: Bench,
    *,
    wish: Wish = "measured",
    qformats: Sequence[str] = PREFERRED,
) -> Fitted:
    """Times the parts of the model and places them.

    inputs: shapes of the model's inputs, as far as it leaves them open. qformats: the first is taken, the next where
    this runtime has no kernel for any convolution or product in it. Raises PlanError where float is faster everywhere.
    """
    everywhere = Placement(integer=_names(prepared))
    wanted, ruled = decide(prepared, settings, everywhere), decide(prepared, settings, UNMEASURED)
    notes: list[str] = []
    for qformat, is_last in zip(qformats, (False,) * (len(qformats) - 1) + (True,), strict=True):
        way = Way(qformat, settings)
        if wish == "int8-everywhere":
            return Fitted(qformat, everywhere, notes=tuple(notes))
        choices, costs = timed_choices(prepared, inputs, wanted, way, bench)
        if is_last or _has_kernels(choices, wanted, costs):
            break
        notes.append(f"{bench.runtime.name} {bench.runtime.version} has no kernels for {qformat}: written as QDQ")
    placed = place(choices, wanted, ruled, costs, way, latency_first=wish == "latency-first")
    if not placed.placement.integer and not placed.unmeasured:
        (reason, _), *_ = Counter(placed.placement.kept_float.values()).most_common(1) or [("nothing to quantise", 0)]
        raise PlanError(f"every node stays float ({reason}); keep the float model, or give --int8-everywhere")
    if placed.unmeasured:
        notes.append(f"{placed.unmeasured} nodes cannot be timed alone; rules place them")
    return Fitted(qformat, placed.placement, placed.by_rule, placed.costs, tuple(dict.fromkeys(notes)))


def _names(prepared: Prepared) -> frozenset[str]:
    return frozenset(str(node.name) for node in prepared.model.graph)


def timed_choices(
    prepared: Prepared, inputs: Mapping[str, Sequence[int]], wanted: Decisions, way: Way, bench: Bench
) -> tuple[tuple[Choice, ...], Costs]:
    """Every unit's candidates, and the costs of them all, on disk already or timed now."""
    graph = sized(prepared.model, inputs).graph
    free = frozenset(str(node.name) for node, form in wanted.items() if isinstance(form, IntegerForm))
    units = units_of(graph, _names(prepared) - free)
    choices = pricing.choices(units, free, graph.opset_imports[""], way)
    machine = cache.this_machine(bench.runtime, bench.threads)
    known = {} if bench.kept is None else cache.read(bench.kept, machine)
    candidates = pricing.to_time(choices, way)
    found = timed(candidates, known, runtime=bench.runtime, threads=bench.threads, track=bench.track)
    if bench.kept is not None:
        cache.write(bench.kept, machine, found)
    return choices, known | found


def _has_kernels(choices: tuple[Choice, ...], wanted: Decisions, costs: Costs) -> bool:
    """Whether the runtime runs any convolution or product as the format writes it, or there is none to run."""
    products = {str(node.name) for node, f in wanted.items() if isinstance(f, IntegerForm) and f.kind is Kind.PRODUCT}
    tried = [choice for choice in choices if choice.is_open and choice.unit.name in products]
    return not tried or any(choice.best(costs) is not None for choice in tried)
