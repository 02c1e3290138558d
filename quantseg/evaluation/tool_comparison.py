"""This tool's model beside those that other quantizers make of the same images at like settings.

Each contestant names the runtime that it runs in. All masks are compared with the float model's in onnxruntime, and
all speeds are over that model's, measured in the same rounds.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from quantseg import graph, pipeline
from quantseg.data import Dataset
from quantseg.errors import ModelError, QuantSegError
from quantseg.evaluation.agreement import Evaluation, evaluate
from quantseg.evaluation.peers import CALIBRATORS, FORMATS, PeerError, quantize_with_nncf, quantize_with_onnxruntime
from quantseg.evaluation.peers.nncf import nncf
from quantseg.evaluation.predictions import open_pair
from quantseg.pipeline import CalibrationOptions, FloatModel
from quantseg.progress import Track, quiet
from quantseg.refinement import levels as effort
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.execution import ExecutionSummary, summary
from quantseg.runtimes.latency import Timing, benchmark
from quantseg.simulation.saturation import Verdict, verdict_of

FLOAT, ONNXRUNTIME, QUANTSEG, NNCF = "float", "onnxruntime quantizer", "quantseg", "NNCF"

_PROFILE_RUNS = 10
_FORMAT_NAMES = {"qdq": "QDQ", "qoperator": "QOperator"}


@dataclass(frozen=True)
class PeerModel:
    """What a quantizer made of a model: a file, or the reason why there is none."""

    path: Path | None = None
    failed: str | None = None


@dataclass(frozen=True)
class Contestant:
    """One model of the contest, in one runtime. evaluation: its masks against those of the float model in onnxruntime.

    failed: why there are no figures. sums: on which processors the sums of an ONNX model in integers are exact. `name`
    and `runtime` together tell contestants apart.
    """

    name: str
    evaluation: Evaluation | None = None
    timing: Timing | None = None
    executed: ExecutionSummary | None = None
    failed: str | None = None
    runtime: str = "onnxruntime"
    sums: Verdict | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "runtime": self.runtime,
            "evaluation": None if self.evaluation is None else self.evaluation.to_json(),
            "timing": None if self.timing is None else asdict(self.timing),
            "executed": None if self.executed is None else asdict(self.executed),
            "failed": self.failed,
            "integer_sums": None if self.sums is None else self.sums.to_json(),
        }


@dataclass(frozen=True)
class _Entry:
    """A model that takes part. ours: its failure is an error; any other's is a result."""

    name: str
    model: PeerModel
    runtime: str = "onnxruntime"
    ours: bool = False

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.name} in {self.runtime}"


def contest(
    model: FloatModel,
    calibration: Dataset,
    validation: Dataset,
    options: CalibrationOptions,
    *,
    folder: Path,
    qformats: Sequence[str] = ("qdq",),
    openvino: bool = False,
    rounds: int = 5,
    track: Track = quiet,
) -> tuple[Contestant, ...]:
    """Quantises with every tool into `folder`, evaluates and times all models side by side.

    First comes the float model, then onnxruntime's quantizer, then this tool in each of `qformats`; its name has the
    format where there are several. openvino: also the float model, this tool's QDQ model and NNCF's in OpenVINO.

    A failure of another tool is a result, not an error. Raises ModelError and DataError for our own models, and
    MissingExtraError, before any work, where OpenVINO or NNCF is wanted and not installed.
    """
    threads = options.threads or pipeline.default_threads()
    if openvino:
        _ = RUNTIMES["openvino"].version, nncf()  # imports both
    entries = _entries(model, calibration, options, folder, qformats, openvino, track)
    contestants = {entry.key: _judged(entry, model, validation, threads, track) for entry in entries}
    alive = {e.key: e.model.path for e in entries if e.model.path is not None and contestants[e.key].failed is None}
    runtimes = {entry.key: RUNTIMES[entry.runtime] for entry in entries}
    feeds = {model.input.name: validation.load(0).tensor}
    timings = benchmark(
        alive, runtime=runtimes, threads=threads, feeds=dict.fromkeys(alive, feeds), rounds=rounds, track=track
    )
    for key, timing in zip(alive, timings, strict=True):
        nodes = runtimes[key].executed(alive[key], feeds, threads=threads, runs=_PROFILE_RUNS)
        own = replace(timing, name=contestants[key].name)
        contestants[key] = replace(contestants[key], timing=own, executed=summary(nodes))
    return tuple(contestants.values())


def _entries(
    model: FloatModel,
    calibration: Dataset,
    options: CalibrationOptions,
    folder: Path,
    qformats: Sequence[str],
    openvino: bool,
    track: Track,
) -> tuple[_Entry, ...]:
    """Every model that takes part, made in `folder`."""
    peer = peer_model(model, calibration, options, folder / "onnxruntime.onnx", qformat=qformats[0], track=track)
    table = pipeline.calibrate(model, calibration, options, track=track).table
    made = effort.reordered(effort.Refined(model, table), options.settings)
    written = tuple(dict.fromkeys((*qformats, "qdq") if openvino else qformats))
    ours = {}
    for qformat in written:
        name = QUANTSEG if len(written) == 1 else f"{QUANTSEG} {_FORMAT_NAMES.get(qformat, qformat)}"
        path = folder / f"{name.replace(' ', '-')}.onnx"
        graph.save(pipeline.quantize(made.model, made.table, options.settings, qformat=qformat)[1], path)
        ours[qformat] = _Entry(name, PeerModel(path), ours=True)
    entries = (
        _Entry(FLOAT, PeerModel(model.path), ours=True),
        _Entry(ONNXRUNTIME, peer),
        *(ours[qformat] for qformat in dict.fromkeys(qformats)),
    )
    if not openvino:
        return entries
    return (
        *entries,
        _Entry(FLOAT, PeerModel(model.path), "openvino"),
        replace(ours["qdq"], runtime="openvino", ours=False),
        _Entry(NNCF, nncf_model(model, calibration, folder / "nncf.xml", track=track), "openvino"),
    )


def _judged(entry: _Entry, model: FloatModel, data: Dataset, threads: int, track: Track) -> Contestant:
    """The contestant with its masks compared, or with the reason why it has none."""
    found = Contestant(entry.name, runtime=entry.runtime, failed=entry.model.failed)
    if entry.model.path is None:
        return found
    if entry.name in (ONNXRUNTIME, QUANTSEG) or entry.name.startswith(f"{QUANTSEG} "):
        found = replace(found, sums=verdict_of(entry.model.path))
    try:
        with open_pair(model.path, entry.model.path, threads=threads, runtime=entry.runtime) as (reference, candidate):
            return replace(found, evaluation=evaluate(reference, candidate, data, model.recipe, track=track))
    except ModelError as error:
        if entry.ours:
            raise
        return replace(found, failed=_reason(error, entry.model.path))


def peer_model(
    model: FloatModel,
    calibration: Dataset,
    options: CalibrationOptions,
    target: Path,
    *,
    qformat: str = "qdq",
    track: Track = quiet,
) -> PeerModel:
    """Writes onnxruntime's quantizer's form of a model to `target`, at settings like `options`.

    In `qformat` where it has that, else in QDQ. Its failure is a result, in its own words without the folders of this
    machine. Raises ModelError and DataError where the model or the images are unsound.
    """
    s = options.settings
    try:
        quantize_with_onnxruntime(
            model.path,
            target,
            _Feeds(model, calibration, track, "calibrating onnxruntime's"),
            per_channel=s.per_channel,
            calibrator=peer_calibrator(options),
            qformat=qformat if qformat in FORMATS else "qdq",
            activation_type=s.activation.name,
            weight_type=s.weight.name,
            weight_symmetric=s.weight.signed or s.symmetric,
            activation_symmetric=s.symmetric,
            reduce_range=s.reduce_range,
        )
    except PeerError as error:
        return PeerModel(failed=_reason(error, model.path))
    return PeerModel(target)


def nncf_model(model: FloatModel, calibration: Dataset, target: Path, *, track: Track = quiet) -> PeerModel:
    """Writes NNCF's form of a model to `target` (.xml), calibrated on the same images. Fails as `peer_model` does."""
    feeds = _Feeds(model, calibration, track, "calibrating NNCF's")
    try:
        quantize_with_nncf(model.path, target, feeds, images=len(calibration.names))
    except PeerError as error:
        return PeerModel(failed=_reason(error, model.path))
    return PeerModel(target)


def peer_calibrator(options: CalibrationOptions) -> str:
    """The calibrator of `options` where onnxruntime has it, else its min/max."""
    name = options.calibrator or pipeline.DEFAULT_CALIBRATOR
    return name if name in CALIBRATORS else "minmax"


@dataclass(frozen=True)
class _Feeds:
    """The calibration inputs, read anew, and counted, each time that they are gone through."""

    model: FloatModel
    data: Dataset
    track: Track
    what: str

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        total = len(self.data.names)
        for index in self.track(range(total), total=total, what=self.what):
            yield {self.model.input.name: self.data.load(index).tensor}


def _reason(error: QuantSegError, model: Path) -> str:
    """A failure in words that are the same on every machine: names of files only, for models and temporary files."""
    temporary = re.escape(gettempdir()) + r"/(quantseg-|ort\.quant\.|tmp)[^/\s]*/"
    return re.sub(temporary, "", str(error).removeprefix(f"{model}: ").replace(f"{model.parent}/", ""))
