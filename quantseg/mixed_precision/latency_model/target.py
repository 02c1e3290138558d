"""Fits a candidate to this machine: the output format and node placement that are fastest by measurement."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from quantseg.errors import PlanError
from quantseg.graph.preparation import Prepared
from quantseg.mixed_precision.latency_model import cache, pricing
from quantseg.mixed_precision.latency_model.placing import place
from quantseg.mixed_precision.latency_model.pricing import UnitChoice
from quantseg.mixed_precision.latency_model.stopwatch import Costs, timed
from quantseg.mixed_precision.latency_model.table import KernelTable
from quantseg.mixed_precision.latency_model.trials import Way
from quantseg.mixed_precision.latency_model.units import sized, units_of
from quantseg.progress import Track, quiet
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.operators import IntegerForm, KeptFloat, Kind
from quantseg.quantization.plan import Fit, Overrides
from quantseg.quantization.plan.decisions import Decisions, decide
from quantseg.quantization.plan.decisive import READ_EXACTLY
from quantseg.runtimes import Runtime

Objective = Literal["measured", "latency-first", "int8-everywhere"]
"""measured: the fastest placement that keeps the rules for accuracy. latency-first: the fastest placement.
int8-everywhere: every node that has an integer form computes in it, even where float is faster."""

PREFERRED = ("channels-last", "qdq")
"""Formats in order of preference: the fastest one, and the one that every runtime reads."""


class NothingFasterError(PlanError):
    """No node is faster in integers."""


@dataclass(frozen=True)
class Fitted:
    """Two candidates for this machine: placed by the times of parts, and placed by rule with the same variants.

    A latency comparison of the whole models tells which is faster. Both hold the measurements in `overrides.fit`.
    """

    by_parts: Candidate
    by_rule: Candidate

    @property
    def fit(self) -> Fit:
        """The measurements."""
        assert self.by_parts.overrides.fit is not None
        return self.by_parts.overrides.fit


@dataclass(frozen=True)
class Bench:
    """The runtime and threads on which models are timed. kept: folder of the timings on disk; None: none are kept.

    qformats: output formats, in order of preference. table: times by which parts are placed where the runtime is not at
    hand; None: it is. never_slower: whether the result must not be slower than the float model.
    """

    runtime: Runtime
    threads: int
    kept: Path | None
    track: Track = quiet
    qformats: tuple[str, ...] = PREFERRED
    table: KernelTable | None = None
    never_slower: bool = False


def fit(
    candidate: Candidate,
    inputs: Mapping[str, Sequence[int]],
    bench: Bench,
    *,
    objective: Objective = "measured",
    qformats: Sequence[str] | None = None,
) -> Fitted:
    """Times the parts of the model and places its nodes.

    inputs: shapes of the model's inputs, where it leaves them open. qformats: in order of preference; None: those of
    the bench. A format is skipped where the runtime has no kernel for any convolution or product as that format writes
    it. Raises NothingFasterError where float is faster for every node.
    """
    qformats = bench.qformats if qformats is None else qformats
    prepared, settings, overrides = candidate.prepared, candidate.settings, candidate.overrides
    everywhere = replace(overrides, integer=_names(prepared))
    wanted, ruled = decide(prepared, settings, everywhere), decide(prepared, settings, overrides)
    if objective == "measured":
        everywhere = replace(everywhere, integer=everywhere.integer - _read_exactly(ruled))
        wanted = decide(prepared, settings, everywhere)
    notes: list[str] = []
    for qformat, is_last in zip(qformats, (False,) * (len(qformats) - 1) + (True,), strict=True):
        way = Way(qformat, settings)
        if objective == "int8-everywhere":
            found = Fit(qformat, by_parts=True, notes=tuple(notes))
            return Fitted(
                replace(candidate, overrides=replace(everywhere, fit=found)),
                replace(candidate, overrides=replace(overrides, fit=replace(found, by_parts=False))),
            )
        choices, costs = timed_choices(prepared, inputs, wanted, way, bench)
        if is_last or _has_kernels(choices, wanted, costs):
            break
        notes.append(f"{bench.runtime.name} {bench.runtime.version} has no kernels for {qformat}: written as QDQ")
    placed = place(choices, wanted, ruled, costs, way, latency_first=objective == "latency-first")
    if not placed.overrides.integer and not placed.unmeasured:
        (reason, _), *_ = Counter(placed.overrides.kept_float.values()).most_common(1) or [("nothing to quantise", 0)]
        raise NothingFasterError(
            f"every node stays float ({reason}); keep the float model, or give int8_everywhere=True"
        )
    if placed.unmeasured:
        notes.append(f"{placed.unmeasured} nodes cannot be timed alone; rules place them")
    found = Fit(qformat, placed.costs, by_parts=True, notes=tuple(dict.fromkeys(notes)))
    return Fitted(
        _placed(candidate, placed.overrides, found), _placed(candidate, placed.by_rule, replace(found, by_parts=False))
    )


def _placed(candidate: Candidate, placed: Overrides, found: Fit) -> Candidate:
    """The candidate with a measured placement; nodes that it kept float before stay so, with their old reasons."""
    kept = {**placed.kept_float, **candidate.overrides.kept_float}
    overrides = replace(placed, kept_float=kept, weights=candidate.overrides.weights, fit=found)
    return replace(candidate, overrides=overrides)


def _read_exactly(ruled: Decisions) -> frozenset[str]:
    """The nodes that stay float since what they compute is read exactly: for accuracy, whatever integers would gain."""
    reasons = {str(node.name): form.reason for node, form in ruled.items() if isinstance(form, KeptFloat)}
    return frozenset(name for name, reason in reasons.items() if reason.endswith(READ_EXACTLY))


def _names(prepared: Prepared) -> frozenset[str]:
    return frozenset(str(node.name) for node in prepared.model.graph)


def timed_choices(
    prepared: Prepared, inputs: Mapping[str, Sequence[int]], wanted: Decisions, way: Way, bench: Bench
) -> tuple[tuple[UnitChoice, ...], Costs]:
    """The units with their trials, and the costs of all trials, read from disk or timed now."""
    graph = sized(prepared.model, inputs).graph
    free = frozenset(str(node.name) for node, form in wanted.items() if isinstance(form, IntegerForm))
    units = units_of(graph, _names(prepared) - free)
    choices = pricing.choices(units, free, graph.opset_imports[""], way)
    candidates = pricing.to_time(choices, way)
    if bench.table is not None:
        return choices, bench.table.costs(candidates)
    machine = cache.this_machine(bench.runtime, bench.threads)
    known = {} if bench.kept is None else cache.read(bench.kept, machine)
    found = timed(candidates, known, runtime=bench.runtime, threads=bench.threads, track=bench.track)
    if bench.kept is not None:
        cache.write(bench.kept, machine, found)
    return choices, known | found


def _has_kernels(choices: tuple[UnitChoice, ...], wanted: Decisions, costs: Costs) -> bool:
    """Whether the runtime runs any convolution or product as the format writes it; also true if there is none."""
    products = {str(node.name) for node, f in wanted.items() if isinstance(f, IntegerForm) and f.kind is Kind.PRODUCT}
    tried = [choice for choice in choices if choice.is_open and choice.unit.name in products]
    return not tried or any(choice.best(costs) is not None for choice in tried)
