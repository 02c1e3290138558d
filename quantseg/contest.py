"""This tool's model beside the one that onnxruntime's quantizer makes of the same images at like settings."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantseg import graph, pipeline
from quantseg.comparison import open_pair
from quantseg.data import Dataset
from quantseg.evaluation import Evaluation, evaluate
from quantseg.latency import Timing, benchmark
from quantseg.peers import PeerError, quantize_with_onnxruntime
from quantseg.pipeline import CalibrationOptions, FloatModel
from quantseg.progress import Track, quiet
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.execution import ExecutionSummary, summary

FLOAT, ONNXRUNTIME, QUANTSEG = "float", "onnxruntime quantizer", "quantseg"

_PROFILE_RUNS = 10


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
    peer_calibrator: str = "minmax",
    rounds: int = 5,
    track: Track = quiet,
) -> tuple[Contestant, ...]:
    """Quantises with both tools into `folder`, evaluates and times all three models side by side.

    A failure of the other tool is a result, not an error. Raises ModelError and DataError for our own.
    """
    threads = options.threads or pipeline.default_threads()
    models = {FLOAT: model.path}
    failed: dict[str, str] = {}
    peer = folder / "onnxruntime.onnx"
    try:
        s = options.settings
        quantize_with_onnxruntime(
            model.path,
            peer,
            _feeds(model, calibration, track),
            per_channel=s.per_channel,
            calibrator=peer_calibrator,
            qformat=qformat,
            activation_type=s.activation.name,
            weight_type=s.weight.name,
            weight_symmetric=s.weight.signed or s.symmetric,
            activation_symmetric=s.symmetric,
            reduce_range=s.reduce_range,
        )
        models[ONNXRUNTIME] = peer
    except PeerError as error:
        failed[ONNXRUNTIME] = str(error)
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
    return tuple(measured.get(name) or Contestant(name, failed=failed[name]) for name in order)


def _feeds(model: FloatModel, data: Dataset, track: Track) -> Iterator[Mapping[str, Any]]:
    total = len(data.names)
    for index in track(range(total), total=total, what="Calibrating onnxruntime's"):
        yield {model.input.name: data.load(index).tensor}


def _evaluated(model: FloatModel, path: Path, data: Dataset, threads: int, track: Track) -> Evaluation:
    with open_pair(model.path, path, threads=threads) as (reference, candidate):
        return evaluate(reference, candidate, data, model.recipe, track=track)
