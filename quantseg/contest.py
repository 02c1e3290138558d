"""This tool's model beside the one that onnxruntime's quantizer makes of the same images at like settings."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from quantseg import graph, pipeline
from quantseg.comparison import open_pair
from quantseg.data import Dataset
from quantseg.evaluation import Evaluation, evaluate
from quantseg.latency import Timing, benchmark
from quantseg.peers import CALIBRATORS, PeerError, quantize_with_onnxruntime
from quantseg.pipeline import CalibrationOptions, FloatModel
from quantseg.progress import Track, quiet
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.execution import ExecutionSummary, summary

FLOAT, ONNXRUNTIME, QUANTSEG = "float", "onnxruntime quantizer", "quantseg"

_PROFILE_RUNS = 10


@dataclass(frozen=True)
class PeerModel:
    """What onnxruntime's quantizer made of a model: a file, or the reason why there is none."""

    path: Path | None = None
    failed: str | None = None


@dataclass(frozen=True)
class Contestant:
    """One model of the contest. evaluation: against the float model's masks. failed: why there are no figures."""

    name: str
    evaluation: Evaluation | None = None
    timing: Timing | None = None
    executed: ExecutionSummary | None = None
    failed: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "evaluation": None if self.evaluation is None else self.evaluation.to_json(),
            "timing": None if self.timing is None else asdict(self.timing),
            "executed": None if self.executed is None else asdict(self.executed),
            "failed": self.failed,
        }


def contest(
    model: FloatModel,
    calibration: Dataset,
    validation: Dataset,
    options: CalibrationOptions,
    *,
    folder: Path,
    qformat: str = "qdq",
    rounds: int = 5,
    track: Track = quiet,
) -> tuple[Contestant, ...]:
    """Quantises with both tools into `folder`, evaluates and times all three models side by side.

    A failure of the other tool is a result, not an error. Raises ModelError and DataError for our own.
    """
    threads = options.threads or pipeline.default_threads()
    models = {FLOAT: model.path}
    peer = peer_model(model, calibration, options, folder / "onnxruntime.onnx", qformat=qformat, track=track)
    if peer.path is not None:
        models[ONNXRUNTIME] = peer.path
    ours = folder / "quantseg.onnx"
    table = pipeline.calibrate(model, calibration, options, track=track).table
    graph.save(pipeline.quantize(model, table, options.settings, qformat=qformat)[1], ours)
    models[QUANTSEG] = ours
    evaluations = {name: _evaluated(model, path, validation, threads, track) for name, path in models.items()}
    feeds = {model.input.name: validation.load(0).tensor}
    runtime = RUNTIMES["onnxruntime"]
    timings = benchmark(
        models,
        runtime=runtime,
        threads=threads,
        feeds=dict.fromkeys(models, feeds),
        rounds=rounds,
        track=track,
    )
    measured = {
        name: Contestant(
            name,
            evaluations[name],
            timing,
            summary(runtime.executed(models[name], feeds, threads=threads, runs=_PROFILE_RUNS)),
        )
        for name, timing in zip(models, timings, strict=True)
    }
    order = (FLOAT, ONNXRUNTIME, QUANTSEG)
    return tuple(measured.get(name) or Contestant(name, failed=peer.failed) for name in order)


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

    Its failure is a result, in its own words without the folders of this machine. Raises ModelError and
    DataError where the model or the images are unsound.
    """
    s = options.settings
    try:
        quantize_with_onnxruntime(
            model.path,
            target,
            _feeds(model, calibration, track),
            per_channel=s.per_channel,
            calibrator=peer_calibrator(options),
            qformat=qformat,
            activation_type=s.activation.name,
            weight_type=s.weight.name,
            weight_symmetric=s.weight.signed or s.symmetric,
            activation_symmetric=s.symmetric,
            reduce_range=s.reduce_range,
        )
    except PeerError as error:
        return PeerModel(failed=_without_folders(str(error).removeprefix(f"{model.path}: "), model.path.parent))
    return PeerModel(target)


def peer_calibrator(options: CalibrationOptions) -> str:
    """The calibrator of `options` where onnxruntime has it, else its min/max."""
    name = options.calibrator or pipeline.DEFAULT_CALIBRATOR
    return name if name in CALIBRATORS else "minmax"


def _without_folders(reason: str, folder: Path) -> str:
    """A reason that reads the same on every machine: names of files only, for the model and temporary files."""
    temporary = re.escape(gettempdir()) + r"/(quantseg-|ort\.quant\.|tmp)[^/\s]*/"
    return re.sub(temporary, "", reason.replace(f"{folder}/", ""))


def _feeds(model: FloatModel, data: Dataset, track: Track) -> Iterator[Mapping[str, Any]]:
    total = len(data.names)
    for index in track(range(total), total=total, what="calibrating onnxruntime's"):
        yield {model.input.name: data.load(index).tensor}


def _evaluated(model: FloatModel, path: Path, data: Dataset, threads: int, track: Track) -> Evaluation:
    with open_pair(model.path, path, threads=threads) as (reference, candidate):
        return evaluate(reference, candidate, data, model.recipe, track=track)
