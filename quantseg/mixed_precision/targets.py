"""Targets of `quantize`: any runtime (portable), OpenVINO, or onnxruntime on this machine, by measured latency."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data.recipe import concrete
from quantseg.errors import ModelError, PlanError, QuantSegError
from quantseg.files import caches
from quantseg.graph.preparation import Fusing
from quantseg.mixed_precision import latency_model as costs
from quantseg.mixed_precision.feeds import drawn
from quantseg.mixed_precision.latency_model import Bench, Fitted, Objective
from quantseg.quantization import formats
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.writing import QuantizedModel, written

PORTABLE, ORT_CPU, OPENVINO = "portable", "ort-cpu", "openvino"
TARGETS = (PORTABLE, ORT_CPU, OPENVINO)

FUSED_BY_OPENVINO = Fusing(
    activations=frozenset({"HardSwish", "HardSigmoid", "PRelu"}),
    without=frozenset({"lower_hard_swishes", "lower_hard_sigmoids", "lower_prelus"}),
    opset=14,  # the first with HardSwish
)
"""Activations that OpenVINO fuses, and that are otherwise rewritten into integer operators for onnxruntime."""

MOVES_PIXELS = frozenset({"lower_unpooling"})
"""Rewrites after which integers put pixels elsewhere: 8-bit values of a MaxPool's window tie where floats do not. With
them `segnet` is 2.3 instead of 1.8 times as fast as float, at an agreement of 90.1 instead of 90.8 %."""

MARGIN = 0.97
"""A model counts as faster only below this ratio of latencies: medians of equal models differ by as much."""


@dataclass(frozen=True)
class TargetOptions:
    """The target and its options. All fields but `target` apply to ORT_CPU alone and keep their defaults otherwise.

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
            raise PlanError(f"{self.target!r} is no target; choose {', '.join(TARGETS[:-1])} or {TARGETS[-1]}")
        if self.latency_first and self.int8_everywhere:
            raise PlanError("latency_first=True and int8_everywhere=True contradict each other; give one of them")
        choices = {
            "latency_first=True": self.latency_first,
            "int8_everywhere=True": self.int8_everywhere,
            "cache=False": not self.cache,
            "timing=False": not self.timing,
        }
        for flag, given in choices.items():
            if given and self.target != ORT_CPU:
                raise PlanError(f"{flag} belongs to target={ORT_CPU}; give that too, or leave it out")

    @property
    def is_timed(self) -> bool:
        """Whether the finished model gets a speed-up check against the float model."""
        return self.target == ORT_CPU and self.timing

    @property
    def objective(self) -> Objective:
        """The objective of the node placement; see `Objective`."""
        if self.int8_everywhere:
            return "int8-everywhere"
        return "latency-first" if self.latency_first else "measured"

    @property
    def fusing(self) -> Fusing | None:
        """Activations that the target's runtime fuses, kept when the float model is read; None: no special handling."""
        return FUSED_BY_OPENVINO if self.target == OPENVINO else None

    @property
    def without(self) -> frozenset[str]:
        """The rewrites of the float graph that are left out: for accuracy, unless speed comes first."""
        return frozenset() if self.latency_first or self.int8_everywhere else MOVES_PIXELS

    def qformat(self, wanted: str | None) -> str:
        """The output format: `wanted`, or if None that of the target. Raises PlanError where the two contradict."""
        own = costs.PREFERRED[0] if self.target == ORT_CPU else "qdq"
        if wanted is not None:
            formats.check(wanted)
        if self.target != PORTABLE and wanted not in (None, own):
            raise PlanError(f"target={self.target} writes {own}, format={wanted} contradicts it; leave one of them out")
        return wanted or own


def fitted(candidate: Candidate, bench: Bench, objective: Objective) -> Candidate:
    """The candidate with the node placement and format that are fastest on this machine and that the objective allows.

    bench: the runtime that is measured. The result is a model that this runtime opens and runs. Raises PlanError,
    CalibrationError, and ModelError where the runtime opens the model in no format.
    """
    qformats: tuple[str, ...] = costs.PREFERRED
    shapes = input_shapes(candidate.model)
    notes: list[str] = []
    while True:
        found = costs.fit(candidate, shapes, bench, objective=objective, qformats=qformats)
        placed = written(found.by_parts)
        notes += found.fit.notes
        problem = _problem(placed, bench)
        if problem is None:
            done, more = (
                (placed.candidate, ()) if objective == "int8-everywhere" else _faster(placed, found, bench, objective)
            )
            assert done.overrides.fit is not None
            fit = replace(done.overrides.fit, notes=tuple(dict.fromkeys((*notes, *more))))
            return replace(done, overrides=replace(done.overrides, fit=fit))
        qformats = qformats[qformats.index(found.fit.qformat) + 1 :]
        if not qformats:
            raise problem
        notes.append(f"{found.fit.qformat} does not open here ({problem}); written as {qformats[0]} instead")


def _faster(
    placed: QuantizedModel, found: Fitted, bench: Bench, objective: Objective
) -> tuple[Candidate, tuple[str, ...]]:
    """The placement by the times of parts if its whole model is clearly faster than that of the placement by rule.

    Otherwise the placement by rule, which has the masks of the portable model. Clearly: by the ratio MARGIN; for
    latency-first any gain is enough. Also returns notes that tell the latencies.
    """
    try:
        ruled = written(found.by_rule)
        if ruled.plan == placed.plan:
            return placed.candidate, ()
        feeds = _feeds(placed.candidate.model)
        by_parts, by_rule = costs.compare_latency((placed.model, ruled.model), feeds, bench)
    except QuantSegError as error:
        return placed.candidate, (f"the placement by rule cannot be timed beside it: {error}",)
    figures = f"{by_parts:.2f} ms placed by the times of its parts, {by_rule:.2f} ms by rule"
    if by_parts < by_rule * (1.0 if objective == "latency-first" else MARGIN):
        return placed.candidate, (f"the whole model takes {figures}: the former is taken",)
    return ruled.candidate, (f"the whole model takes {figures}: the latter is taken",)


def others(candidate: Candidate, bench: Bench, objective: Objective) -> dict[str, Callable[[], ir.Model]]:
    """Models of the candidate for the other objectives and targets: the options that ask for one → its builder."""
    flags: dict[str, Objective] = {
        f"target={ORT_CPU}": "measured",
        f"target={ORT_CPU} latency_first=True": "latency-first",
        f"target={ORT_CPU} int8_everywhere=True": "int8-everywhere",
    }

    def build(other: Objective) -> Callable[[], ir.Model]:
        return lambda: written(fitted(candidate, bench, other)).model

    found = {words: build(other) for words, other in flags.items() if other != objective}
    return found | {f"target={PORTABLE}": lambda: written(candidate).model}


def bench(options: TargetOptions, context: Context) -> Bench | None:
    """The Bench on which the parts of a model are timed for the target; None where the target times nothing."""
    if options.target != ORT_CPU:
        return None
    return Bench(context.runtime, context.threads, caches.folder() if options.cache else None, context.track)


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
