"""What `quantseg quantize` makes a model for: every runtime, OpenVINO, or this machine's onnxruntime, measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.errors import ModelError, PlanError, QuantSegError
from quantseg.graph.preparation import Fusing
from quantseg.mixed_precision import latency_model as costs
from quantseg.mixed_precision.latency_model import Bench, Fitted, Objective
from quantseg.quantization import formats
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.writing import QuantizedModel, written
from quantseg.runtimes.latency import random_feeds

PORTABLE, ORT_CPU, OPENVINO = "portable", "ort-cpu", "openvino"
TARGETS = (PORTABLE, ORT_CPU, OPENVINO)

FUSED_BY_OPENVINO = Fusing(
    activations=frozenset({"HardSwish", "HardSigmoid", "PRelu"}),
    without=frozenset({"lower_hard_swishes", "lower_hard_sigmoids", "lower_prelus"}),
    opset=14,  # the first with HardSwish
)
"""Of those that OpenVINO fuses, what the rewrites write as integer operators of their own for onnxruntime's sake."""

MARGIN = 0.97
"""Times whose ratio is nearer to 1 are alike: medians of one run differ by as much."""


@dataclass(frozen=True)
class TargetOptions:
    """What the model is made for. The other fields are choices of ORT_CPU alone; without it they keep their defaults.

    cache: whether timings are read from and written to disk. timing: whether the finished model is timed against float.
    Raises PlanError for what does not exist or contradicts itself.
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
        """Whether the finished model is timed against float."""
        return self.target == ORT_CPU and self.timing

    @property
    def objective(self) -> Objective:
        """Which placements are allowed."""
        if self.int8_everywhere:
            return "int8-everywhere"
        return "latency-first" if self.latency_first else "measured"

    @property
    def fusing(self) -> Fusing | None:
        """What the target's runtime fuses, to read the float model with; None where that is left alone."""
        return FUSED_BY_OPENVINO if self.target == OPENVINO else None

    def qformat(self, wanted: str | None) -> str:
        """The output format: the one that the user names, else the target's own. Raises PlanError where they differ."""
        own = costs.PREFERRED[0] if self.target == ORT_CPU else "qdq"
        if wanted is not None:
            formats.check(wanted)
        if self.target != PORTABLE and wanted not in (None, own):
            raise PlanError(f"target={self.target} writes {own}, format={wanted} contradicts it; leave one of them out")
        return wanted or own


def fitted(candidate: Candidate, bench: Bench, objective: Objective) -> Candidate:
    """The fastest candidate in the bench's runtime on this machine, of those that the objective allows. It opens there.

    Raises PlanError, CalibrationError, and ModelError where none opens.
    """
    qformats: tuple[str, ...] = costs.PREFERRED
    shapes = input_shapes(candidate.model)
    notes: list[str] = []
    while True:
        found = costs.fit(candidate, shapes, bench, objective=objective, qformats=qformats)
        placed = written(found.by_parts)
        notes += found.fit.notes
        problem = _problem(placed.model, shapes, bench)
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
    """The placement by the times of parts where it is clearly the faster one as a whole, else that by rule.

    By rule the masks are those of the portable model; only latency-first gives them away for less than MARGIN.
    """
    try:
        ruled = written(found.by_rule)
        if ruled.plan == placed.plan:
            return placed.candidate, ()
        feeds = _feeds(placed.model, input_shapes(placed.candidate.model))
        by_parts, by_rule = costs.compare_latency((placed.model, ruled.model), feeds, bench)
    except QuantSegError as error:
        return placed.candidate, (f"the placement by rule cannot be timed beside it: {error}",)
    figures = f"{by_parts:.2f} ms placed by the times of its parts, {by_rule:.2f} ms by rule"
    if by_parts < by_rule * (1.0 if objective == "latency-first" else MARGIN):
        return placed.candidate, (f"the whole model takes {figures}: the former is taken",)
    return ruled.candidate, (f"the whole model takes {figures}: the latter is taken",)


def others(candidate: Candidate, bench: Bench, objective: Objective) -> dict[str, Callable[[], ir.Model]]:
    """What else than by this objective could be made of the candidate, by the words that ask for it."""
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
    """Where the parts are timed that the target asks for; None where nothing is."""
    if options.target != ORT_CPU:
        return None
    return Bench(context.runtime, context.threads, costs.folder() if options.cache else None, context.track)


def input_shapes(model: FloatModel) -> Mapping[str, tuple[int, ...]]:
    """The shape of the image that the model is fed, one at a time."""
    recipe = model.recipe.input
    assert recipe.size is not None
    channels = 1 if recipe.channels == "GRAY" else 3
    wanted = (1, channels, *recipe.size) if recipe.layout == "NCHW" else (1, *recipe.size, channels)
    declared = model.input.shape or wanted
    return {model.input.name: tuple(n if fixed is None else fixed for n, fixed in zip(wanted, declared, strict=True))}


def _feeds(model: ir.Model, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Random inputs of these shapes."""
    inputs, _ = graph.signature(model)
    return random_feeds([replace(spec, shape=shapes[spec.name]) for spec in inputs])


def _problem(model: ir.Model, shapes: Mapping[str, tuple[int, ...]], bench: Bench) -> ModelError | None:
    """Why the runtime does not open the model or run it once; None where it does."""
    try:
        with graph.as_session_source(model) as source:
            session = bench.runtime.open(source, threads=bench.threads, spinning=False)
            try:
                session.run(_feeds(model, shapes))
            finally:
                session.close()
    except ModelError as error:
        return error
    return None
