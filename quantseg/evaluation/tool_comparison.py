"""The tool comparison: our model against those of other quantizers, calibrated on the same images at like settings.

Each compared model names its runtime. All masks are compared with the float model's in onnxruntime, and speed-ups are
relative to it, measured in the same rounds.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from quantseg.calibration.context import Context
from quantseg.data import Dataset
from quantseg.data.recipe import Recipe
from quantseg.data.sources import Opener
from quantseg.errors import ModelError, printable
from quantseg.evaluation.agreement import Evaluation, Pair, evaluate_pair
from quantseg.evaluation.model_files import taken
from quantseg.evaluation.peer_models import PeerModel, nncf_model, peer_model, reason_of
from quantseg.evaluation.peers.nncf import nncf
from quantseg.evaluation.predictions import FoldedInput
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.model_files import as_file
from quantseg.quantization.writing import QuantizedModel
from quantseg.runtimes import DEFAULT, RUNTIMES, Runtime
from quantseg.runtimes.execution import ExecutionSummary, summary
from quantseg.runtimes.latency import Timing, Turns, benchmark
from quantseg.simulation.saturation import ExactnessVerdict, verdict_of

FLOAT, ONNXRUNTIME, QUANTSEG, NNCF = "float", "onnxruntime quantizer", "quantseg", "NNCF"
WEB = "onnxruntime-web"

_PROFILE_RUNS = 10
_FORMAT_NAMES = {"qdq": "QDQ", "qoperator": "QOperator"}


@dataclass(frozen=True)
class ComparedModel:
    """One compared model in one runtime. evaluation: its masks against those of the float model in onnxruntime.

    failed: why there are no figures. sums: on which processors the integer sums of a quantised ONNX model are exact.
    `name` and `runtime` together identify a compared model.
    """

    name: str
    evaluation: Evaluation | None = None
    timing: Timing | None = None
    executed: ExecutionSummary | None = None
    failed: str | None = None
    runtime: str = DEFAULT.name
    sums: ExactnessVerdict | None = None

    def to_json(self) -> dict[str, Any]:
        """Values for JSON."""
        return {
            "name": self.name,
            "runtime": self.runtime,
            "evaluation": None if self.evaluation is None else self.evaluation.to_json(),
            "timing": None if self.timing is None else asdict(self.timing),
            "executed": None if self.executed is None else asdict(self.executed),
            "failed": self.failed,
            "integer_sums": None if self.sums is None else self.sums.to_json(),
        }


class ToolComparison(tuple[ComparedModel, ...]):
    """The rows of one comparison; the first is the float model in onnxruntime."""

    __slots__ = ()

    def __str__(self) -> str:
        notes = dict.fromkeys(one.evaluation.judged.note for one in self if one.evaluation is not None)
        lines = [*map(_row, self), *filter(None, notes)]
        return f"{len(self)} models side by side{''.join(f'{chr(10)}  {printable(line)}' for line in lines)}"


def _row(one: ComparedModel) -> str:
    name = f"{one.name} in {one.runtime}"
    if one.failed or one.evaluation is None or one.timing is None:
        return f"{name}: failed: {one.failed}"
    return f"{name}: agrees {100 * one.evaluation.agreement:.1f} %, {one.timing.ratio:.2f} times as fast as float"


@dataclass(frozen=True)
class Comparing:
    """Options of the tool comparison.

    rounds: of timing. openvino: whether the float model, ours and NNCF's are also compared in OpenVINO. web: whether
    all are also compared in onnxruntime-web, the runtime of browsers. formats: those in which our model is compared;
    empty means the format of the quantisation options.
    """

    rounds: int = 5
    openvino: bool = False
    web: bool = False
    formats: Sequence[str] = ()


@dataclass(frozen=True)
class Entry:
    """A model to compare. ours: whether its failure is raised as an error, instead of reported as a result.

    taken: its own inputs and recipe, if preprocessing or head were folded into it.
    """

    name: str
    model: PeerModel
    runtime: str = DEFAULT.name
    ours: bool = False
    taken: FoldedInput | None = None

    @property
    def key(self) -> str:
        """Identifies the entry."""
        return f"{self.name} in {self.runtime}"


def compare_tools(
    model: FloatModel, entries: Sequence[Entry], data: Dataset, context: Context, *, rounds: int = 5
) -> ToolComparison:
    """Evaluates all models and times them in the same rounds. The first of the entries is the float model.

    data: the images to evaluate on. A failure of another tool is a result, not an error. Raises ModelError and
    DataError for our own models.
    """
    threads, track, source = context.threads, context.track, model.source
    assert isinstance(source, Path)
    compared = {entry.key: judge(entry, source, model.recipe, data, context) for entry in entries}
    alive = {e.key: e.model.path for e in entries if e.model.path is not None and compared[e.key].failed is None}
    runtimes = {entry.key: runtime_of(entry, context) for entry in entries}
    own = data.load(0).feeds(model.input.name)
    feeds = {
        e.key: own if e.taken is None else e.taken.dataset.load(0).feeds(e.taken.input.name)
        for e in entries
        if e.key in alive
    }
    timings = benchmark(alive, feeds, runtime=runtimes, threads=threads, turns=Turns(rounds=rounds), track=track)
    for key, timing in zip(alive, timings, strict=True):
        nodes = runtimes[key].executed(alive[key], feeds[key], threads=threads, runs=_PROFILE_RUNS)
        named = replace(timing, name=compared[key].name)
        compared[key] = replace(compared[key], timing=named, executed=summary(nodes))
    return ToolComparison(compared.values())


def compare_made(
    model: FloatModel, made: Mapping[str, QuantizedModel], images: Opener, how: Comparing, context: Context
) -> ToolComparison:
    """Compares the float model, our quantised models, and those of other quantizers.

    made: format → our model in that format; those in `how.formats` run in onnxruntime, the one in qdq in OpenVINO.
    images: to evaluate on. context: its data are the calibration images of the other quantizers. Raises ModelError and
    DataError for our own models.
    """
    ours = next(iter(made.values())).candidate
    with as_file(model) as path, tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        model, place = replace(model, source=path), Path(folder)
        peer = peer_model(
            model, context, ours.settings, ours.ranges.calibrator, place / "onnxruntime.onnx", how.formats[0]
        )
        saved = {}
        for qformat, one in made.items():
            name = QUANTSEG if len(made) == 1 else f"{QUANTSEG} {format_name(qformat)}"
            file = PeerModel(one.save(place / f"{name.replace(' ', '-')}.onnx"))
            saved[qformat] = Entry(name, file, ours=True, taken=taken(one, model, images))
        entries = [
            Entry(FLOAT, PeerModel(path), ours=True),
            Entry(ONNXRUNTIME, peer),
            *(saved[qformat] for qformat in dict.fromkeys(how.formats)),
        ]
        if how.openvino:
            entries += [
                Entry(FLOAT, PeerModel(path), "openvino"),
                replace(saved["qdq"], runtime="openvino", ours=False),
                Entry(NNCF, nncf_model(model, context, place / "nncf.xml"), "openvino"),
            ]
        if how.web:
            entries += [replace(entry, runtime=WEB) for entry in entries if entry.runtime == DEFAULT.name]
        data = images(model.recipe, model.inputs)
        return compare_tools(model, entries, data, context, rounds=how.rounds)


def require_openvino() -> None:
    """Raises MissingExtraError where OpenVINO or NNCF is not installed."""
    _ = RUNTIMES["openvino"].version, nncf()  # imports both


def require_web() -> None:
    """Raises MissingExtraError where onnxruntime-web or node is not installed."""
    _ = RUNTIMES[WEB].version


def format_name(qformat: str) -> str:
    """A format's name in tables."""
    return _FORMAT_NAMES.get(qformat, qformat)


def judge(entry: Entry, source: Path, recipe: Recipe, data: Dataset, context: Context) -> ComparedModel:
    """Evaluates one entry: the compared model with its evaluation, or with the reason why there is none.

    source, recipe: of the float model. Raises ModelError for our own models.
    """
    found = ComparedModel(entry.name, runtime=entry.runtime, failed=entry.model.failed)
    if entry.model.path is None:
        return found
    if entry.name in (ONNXRUNTIME, QUANTSEG) or entry.name.startswith(f"{QUANTSEG} "):
        found = replace(found, sums=verdict_of(entry.model.path))
    try:
        runtimes = context.runtime, runtime_of(entry, context)
        pair = Pair(source, entry.model.path, runtimes, context.threads, entry.taken)
        return replace(found, evaluation=evaluate_pair(pair, data, recipe, context))
    except ModelError as error:
        if entry.ours:
            raise
        return replace(found, failed=reason_of(error, source))


def runtime_of(entry: Entry, context: Context) -> Runtime:
    """The runtime of an entry; the context's own if it is that one, for its time limit."""
    return context.runtime if entry.runtime == context.runtime.name else RUNTIMES[entry.runtime]
