"""Targets of `quantize`, with their options: a model for any runtime, or for one, by rule or by measured latency."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data.recipe import concrete
from quantseg.errors import MissingExtraError, ModelError, PlanError, QuantSegError
from quantseg.files import caches
from quantseg.graph.preparation import Fusing
from quantseg.mixed_precision import latency_model as costs
from quantseg.mixed_precision.feeds import drawn
from quantseg.mixed_precision.latency_model import Bench, Fitted, Objective
from quantseg.mixed_precision.target_facts import ORT_CPU, ORT_WEB, PORTABLE, TARGETS, Target, names
from quantseg.quantization import formats
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.plan import Fit, Overrides
from quantseg.quantization.writing import QuantizedModel, written
from quantseg.runtimes import RUNTIMES

log = logging.getLogger(__name__)

MOVES_PIXELS = frozenset({"lower_unpooling"})
"""Rewrites after which integers put pixels elsewhere: 8-bit values of a MaxPool's window tie where floats do not. With
them `segnet` is 2.3 instead of 1.8 times as fast as float, at an agreement of 90.1 instead of 90.8 %."""

SLOWER = "float is faster with this runtime"
"""Why every node stays float."""

MARGIN = 0.97
"""A model counts as faster only below this ratio of latencies: medians of equal models differ by as much."""


@dataclass(frozen=True)
class TargetOptions:
    """The target and its options. All fields but `target` apply to targets that are placed by latency alone.

    latency_first: the fastest placement, even where that costs accuracy. int8_everywhere: every node that can compute
    in integers does, even where float is faster. cache: whether timings are read from and written to disk. timing:
    whether the finished model gets a speed-up check against the float model. Raises PlanError for an unknown target and
    for options that contradict each other.
    """

    target: str = PORTABLE
    latency_first: bool = False
    int8_everywhere: bool = False
    cache: bool = True
    timing: bool = True

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise PlanError(f"{self.target!r} is no target; choose {names()}")
        if self.latency_first and self.int8_everywhere:
            raise PlanError("latency_first=True and int8_everywhere=True contradict each other; give one of them")
        choices = {
            "latency_first=True": self.latency_first,
            "int8_everywhere=True": self.int8_everywhere,
            "cache=False": not self.cache,
            "timing=False": not self.timing,
        }
        for flag, given in choices.items():
            if given and not self.is_placed:
                raise PlanError(f"{flag} belongs to target={ORT_CPU} or {ORT_WEB}; give one of them, or leave it out")

    @property
    def facts(self) -> Target:
        """What the target is."""
        return TARGETS[self.target]

    @property
    def is_placed(self) -> bool:
        """Whether measured latencies decide where nodes compute."""
        return self.facts.runtime is not None

    @property
    def is_timed(self) -> bool:
        """Whether the finished model gets a speed-up check against the float model."""
        return self.is_placed and self.timing

    @property
    def objective(self) -> Objective:
        """The objective of the node placement; see `Objective`."""
        if self.int8_everywhere:
            return "int8-everywhere"
        return "latency-first" if self.latency_first else "measured"

    @property
    def fusing(self) -> Fusing | None:
        """What the target's runtime fuses or has kernels for, kept when the float model is read; None: nothing more."""
        return self.facts.fusing

    @property
    def without(self) -> frozenset[str]:
        """The rewrites of the float graph that are left out: the target's; for accuracy, unless speed comes first."""
        speed_first = self.latency_first or self.int8_everywhere
        return (self.facts.without | (frozenset() if speed_first else MOVES_PIXELS)) - self.facts.needs

    @property
    def observes_others(self) -> bool:
        """Whether other tensors are observed than for the portable target: its calibration files do not serve."""
        return self.fusing is not None or bool(self.facts.without)

    def qformat(self, wanted: str | None) -> str:
        """The output format: `wanted`, or if None that of the target. Raises PlanError where the two contradict."""
        own = self.facts.formats[0]
        if wanted is not None:
            formats.check(wanted)
        if self.target != PORTABLE and wanted not in (None, own):
            raise PlanError(f"target={self.target} writes {own}, format={wanted} contradicts it; leave one of them out")
        return wanted or own


def fitted(candidate: Candidate, bench: Bench, objective: Objective) -> Candidate:
    """The candidate with the node placement and format that are fastest on this machine and that the objective allows.

    bench: the runtime that is measured. The result is a model that this runtime opens and runs; a bench with a table
    runs none. Raises PlanError, CalibrationError, and ModelError where the runtime opens the model in no format.
    """
    try:
        return _fitted(candidate, bench, objective)
    except costs.NothingFasterError as error:
        if not bench.never_slower:
            raise
        return in_float(candidate, f"{str(error).partition(';')[0]}; weights are stored as int8")


def _fitted(candidate: Candidate, bench: Bench, objective: Objective) -> Candidate:
    qformats = bench.qformats
    shapes = input_shapes(candidate.model)
    notes: list[str] = []
    while True:
        found = costs.fit(candidate, shapes, bench, objective=objective, qformats=qformats)
        placed = written(found.by_parts)
        notes += found.fit.notes
        problem = None if bench.table is not None else _problem(placed, bench)
        if problem is None:
            measured = objective != "int8-everywhere" and bench.table is None
            done, more = _faster(placed, found, bench, objective) if measured else (placed.candidate, ())
            return _noted(done, (*notes, *more))
        qformats = qformats[qformats.index(found.fit.qformat) + 1 :]
        if not qformats:
            raise problem
        notes.append(f"{found.fit.qformat} does not open here ({problem}); written as {qformats[0]} instead")


def _noted(candidate: Candidate, notes: Sequence[str]) -> Candidate:
    assert candidate.overrides.fit is not None
    fit = replace(candidate.overrides.fit, notes=tuple(dict.fromkeys(notes)))
    return replace(candidate, overrides=replace(candidate.overrides, fit=fit))


def _faster(
    placed: QuantizedModel, found: Fitted, bench: Bench, objective: Objective
) -> tuple[Candidate, tuple[str, ...]]:
    """The placement by the times of parts if its whole model is clearly faster than that of the placement by rule.

    Otherwise the placement by rule, which has the masks of the portable model. Clearly: by the ratio MARGIN; for
    latency-first any gain is enough. Where the result must not be slower than float, every node stays float if both
    are, or if they are clearly slower than the model in which only weights are integers. Also returns notes that tell
    the latencies.
    """
    try:
        ruled = written(found.by_rule)
        if ruled.plan == placed.plan and not bench.never_slower:
            return placed.candidate, ()
        stored = in_float(placed.candidate, "") if bench.never_slower else None
        rivals = () if stored is None else (float_form(placed.candidate), written(stored).model)
        models = (placed.model, ruled.model, *rivals)
        by_parts, by_rule, *others = costs.compare_latency(models, _feeds(placed.candidate.model), bench)
    except QuantSegError as error:
        return placed.candidate, (f"the placement by rule cannot be timed beside it: {error}",)
    figures = f"{by_parts:.2f} ms placed by the times of its parts, {by_rule:.2f} ms by rule"
    if stored is not None:
        as_float, with_weights = others
        figures += f", {as_float:.2f} ms in float, {with_weights:.2f} ms with int8 weights alone"
        least = min(by_parts, by_rule)
        if least > as_float or with_weights < MARGIN * least:
            note = f"the whole model takes {figures}: the last is taken, every node stays float"
            return in_float(placed.candidate, note), (note,)
    if by_parts < by_rule * (1.0 if objective == "latency-first" else MARGIN):
        return placed.candidate, (f"the whole model takes {figures}: the first is taken",)
    return ruled.candidate, (f"the whole model takes {figures}: the second is taken",)


def float_form(candidate: Candidate) -> ir.Model:
    """The float model as it was given; as it is now, where it takes other inputs: its preprocessing is folded."""
    given, prepared = graph.load(candidate.model.source), candidate.prepared.model
    inputs, own = (graph.signature(model)[0] for model in (given, prepared))
    return given if [(s.name, s.dtype) for s in inputs] == [(s.name, s.dtype) for s in own] else prepared


def in_float(candidate: Candidate, note: str) -> Candidate:
    """The candidate with every node in float, and the weights of products stored as int8."""
    names = (str(node.name) for node in candidate.prepared.model.graph)
    everything = Overrides(fit=Fit("qdq", notes=(note,), stores_weights=True))
    return replace(candidate, overrides=everything.left_float(names, SLOWER))


def others(candidate: Candidate, options: TargetOptions, bench: Bench) -> dict[str, Callable[[], ir.Model]]:
    """Models of the candidate for the other objectives and targets: the options that ask for one → its builder."""
    flags: dict[str, Objective] = {
        f"target={options.target}": "measured",
        f"target={options.target} latency_first=True": "latency-first",
        f"target={options.target} int8_everywhere=True": "int8-everywhere",
    }

    def build(other: Objective) -> Callable[[], ir.Model]:
        return lambda: written(fitted(candidate, bench, other)).model

    found = {words: build(other) for words, other in flags.items() if other != options.objective}
    return found | {f"target={PORTABLE}": lambda: written(candidate).model}


def bench(options: TargetOptions, context: Context) -> Bench | None:
    """The Bench on which the parts of a model are timed for the target; None where the target times nothing.

    Where the target's runtime is not installed, and there is a table of its kernels, that stands in.
    """
    facts, runtime = options.facts, context.runtime
    if facts.runtime is None:
        return None
    table = None
    if facts.runtime != runtime.name:
        runtime = RUNTIMES[facts.runtime]
        try:
            _ = runtime.version
        except MissingExtraError as error:
            if not facts.has_table:
                raise
            log.warning("%s; until then nodes are placed by a table of measured kernels", error)
            table = costs.read_table()
    return Bench(
        runtime,
        context.threads,
        caches.folder() if options.cache else None,
        context.track,
        facts.formats,
        table,
        facts.never_slower,
    )


def input_shapes(model: FloatModel) -> Mapping[str, tuple[int, ...]]:
    """Name of each of the model's inputs → its shape, with batch size 1 where the model leaves that open."""
    (image,) = concrete([model.input], model.recipe.input)
    return model.inputs.shapes([size or 1 for size in image.shape])


def _feeds(model: FloatModel) -> dict[str, NDArray[Any]]:
    """Random inputs of the model and of its quantised forms."""
    return drawn(model.inputs, input_shapes(model)[model.input.name])


def _problem(made: QuantizedModel, bench: Bench) -> ModelError | None:
    """The error with which the runtime fails to open or run the model; None where it succeeds."""
    try:
        with graph.as_session_source(made.model) as source:
            session = bench.runtime.open(source, threads=bench.threads, spinning=False)
            try:
                session.run(_feeds(made.candidate.model))
            finally:
                session.close()
    except ModelError as error:
        return error
    return None
