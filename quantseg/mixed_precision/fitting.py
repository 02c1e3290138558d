"""Fits a candidate to a measured target: the fastest format and placement, and at worst float with int8 weights."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.errors import ModelError, QuantSegError
from quantseg.mixed_precision import latency_model as costs
from quantseg.mixed_precision.feeds import drawn
from quantseg.mixed_precision.latency_model import Bench, Fitted, Objective
from quantseg.mixed_precision.target_facts import PORTABLE
from quantseg.mixed_precision.targets import TargetOptions, input_shapes
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.plan import Fit, Overrides
from quantseg.quantization.writing import QuantizedModel, written

SLOWER = "float is faster with this runtime"
"""Why every node stays float."""

MARGIN = 0.97
"""A model counts as faster only below this ratio of latencies: medians of equal models differ by as much."""


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
    latency-first any gain is enough. Where the result must not be slower than float, the placement by rule is also
    timed in the next format, and every node stays float if all are slower, or if they are clearly slower than the model
    in which only weights are integers. Also returns notes that tell the latencies.
    """
    try:
        ruled = [written(found.by_rule)]
        if ruled[0].plan == placed.plan and not bench.never_slower:
            return placed.candidate, ()
        stored = in_float(placed.candidate, "") if bench.never_slower else None
        if bench.never_slower:
            ruled += [written(_in_format(found.by_rule, name)) for name in bench.qformats if name != placed.qformat][:1]
        rivals = () if stored is None else (float_form(placed.candidate), written(stored).model)
        models = (placed.model, *(one.model for one in ruled), *rivals)
        times = costs.compare_latency(models, _feeds(placed.candidate.model), bench)
    except QuantSegError as error:
        return placed.candidate, (f"the placement by rule cannot be timed beside it: {error}",)
    by_parts, by_rules, others = times[0], times[1 : 1 + len(ruled)], times[1 + len(ruled) :]
    named = ["by rule", *(f"by rule in {one.qformat}" for one in ruled[1:])]
    told = [f"{by_parts:.2f} ms placed by the times of its parts"]
    told += [f"{time:.2f} ms {name}" for time, name in zip(by_rules, named, strict=True)]
    by_rule, best = min(zip(by_rules, ruled, strict=True), key=lambda pair: pair[0])
    if stored is not None:
        as_float, with_weights = others
        told += [f"{as_float:.2f} ms in float", f"{with_weights:.2f} ms with int8 weights alone"]
        least = min(by_parts, by_rule)
        if least > as_float or with_weights < MARGIN * least:
            note = f"the whole model takes {', '.join(told)}: the last is taken, every node stays float"
            return in_float(placed.candidate, note), (note,)
    if by_parts < by_rule * (1.0 if objective == "latency-first" else MARGIN):
        return placed.candidate, (f"the whole model takes {', '.join(told)}: the first is taken",)
    which = ("second", "third")[ruled.index(best)]
    return best.candidate, (f"the whole model takes {', '.join(told)}: the {which} is taken",)


def _in_format(candidate: Candidate, qformat: str) -> Candidate:
    """The candidate in another output format, which has no variants of the first."""
    assert candidate.overrides.fit is not None
    fit = replace(candidate.overrides.fit, qformat=qformat)
    return replace(candidate, overrides=replace(candidate.overrides, fit=fit, variants={}))


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
