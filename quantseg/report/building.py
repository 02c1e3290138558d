"""Measures a float model and its quantised models on images, and collects the results in one Report."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from quantseg.calibration.calibrate import Calibrated
from quantseg.calibration.context import Context
from quantseg.calibration.file import Calibration
from quantseg.data import Dataset
from quantseg.data.model_inputs import described
from quantseg.data.recipe import Recipe
from quantseg.data.sources import Opener
from quantseg.evaluation.agreement import Evaluation, Pair, evaluate_pair
from quantseg.evaluation.model_files import taken
from quantseg.evaluation.predictions import FoldedInput, compare, open_pair
from quantseg.evaluation.tool_comparison import PeerModel, peer_calibrator, peer_model
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.model_files import as_file, digest
from quantseg.quantization.writing import QuantizedModel
from quantseg.report.content import FLOAT, INT8, PEER, ModelFile, Peer, Report
from quantseg.report.images import ReportImage, image
from quantseg.report.plan import summarise_plan
from quantseg.report.ranges import worst_ranges
from quantseg.runtimes.execution import ExecutedNode, summary
from quantseg.runtimes.latency import Turns, benchmark, file_bytes
from quantseg.runtimes.provenance import provenance
from quantseg.runtimes.roofline import beside_roofs, convolutions
from quantseg.simulation.saturation import verdict_of

WORST_TENSORS = 6
WORST_IMAGES = 8
PROFILE_RUNS = 10


@dataclass(frozen=True)
class Reporting:
    """Options of a report. name: None means the model's name.

    rounds: of timing. images: whether images are shown. peer: whether onnxruntime's quantizer is compared.
    int8_model: a path to write the int8 model to as well. dataset, note: as `data` and `note` of Report. commands: the
    command lines that made the report.
    """

    name: str | None = None
    rounds: int = 5
    images: bool = True
    peer: bool = False
    int8_model: Path | None = None
    dataset: str | None = None
    note: str | None = None
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Subject:
    """The models of a report. model: the float model, from a file. made: our int8 model, written to the file `int8`.

    calibration: what `made` was calibrated on. peer: the model of onnxruntime's quantizer, if it is compared.
    """

    name: str
    model: FloatModel
    int8: Path
    made: QuantizedModel
    calibration: Calibration
    peer: PeerModel | None = None


@dataclass(frozen=True)
class JudgedData:
    """The images that the models are evaluated on. data, note: as in Report.

    taken: the quantised model's own inputs and recipe, if preprocessing or head were folded into it.
    """

    images: Dataset
    taken: FoldedInput | None = None
    data: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Measuring:
    """Options of the measurements.

    rounds: of timing. images: whether images are shown. settings: further settings that the figures depend on.
    commands: the command lines that made the report.
    """

    rounds: int = 5
    images: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()


def report_on(
    given: Calibrated, made: QuantizedModel, images: Opener, how: Reporting, effort: str, context: Context
) -> Report:
    """The report on a quantised model: evaluated on images, timed, profiled. Raises ModelError, DataError.

    given: the calibrated float model that `made` was quantised from. images: to evaluate on. effort: the effort level
    that was used. context: its data are the calibration images.
    """
    calibrator = made.candidate.ranges.calibrator
    settings = {"calibrator": calibrator, "effort": effort, "format": made.qformat}
    settings |= {f"input {name}": described(value) for name, value in sorted(given.model.constants.items())}
    with as_file(given.model) as path, tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        model, name = replace(given.model, source=path), how.name or path.stem
        target = made.save(how.int8_model or Path(folder) / f"{name}.int8.onnx")
        peer = None
        if how.peer and given.images is not None:
            place = Path(folder) / f"{name}.onnxruntime.onnx"
            peer = peer_model(model, context, made.candidate.settings, calibrator, place, made.qformat)
            settings[f"{PEER}, calibrator"] = peer_calibrator(calibrator)
        judged = JudgedData(images(model.recipe, model.inputs), taken(made, model, images), how.dataset, how.note)
        subject = Subject(name, model, target, made, given.calibration, peer)
        return build_report(subject, judged, Measuring(how.rounds, how.images, settings, how.commands), context)


def build_report(subject: Subject, judged: JudgedData, how: Measuring, context: Context) -> Report:
    """Evaluates, times and profiles the float and the int8 model, and the peer's model if there is one.

    Raises ModelError and DataError as the measurements do.
    """
    model, int8_model, data = subject.model, subject.int8, judged.images
    runtime, recipe, threads, track = context.runtime, model.recipe, context.threads, context.track
    pair = Pair(model.source, int8_model, (runtime, runtime), threads, judged.taken)
    evaluation = evaluate_pair(pair, data, recipe, context)
    shown = _images_of(pair, judged, recipe, evaluation) if how.images else ()
    source = model.source
    assert isinstance(source, Path)
    peer = subject.peer
    models = {FLOAT: source, INT8: int8_model}
    if peer is not None and peer.path is not None:
        models[PEER] = peer.path
    own = data.load(0).feeds(model.input.name)
    feeds = dict.fromkeys(models, own)
    if judged.taken is not None:
        feeds[INT8] = judged.taken.dataset.load(0).feeds(judged.taken.input.name)
    timings = benchmark(models, feeds, runtime=runtime, threads=threads, turns=Turns(rounds=how.rounds), track=track)

    def profile() -> dict[str, tuple[ExecutedNode, ...]]:
        return {
            label: runtime.executed(path, feeds[label], threads=threads, runs=PROFILE_RUNS)
            for label, path in track(models.items(), total=len(models), what="profile operators")
        }

    executed, roofs = beside_roofs(profile, runtime, threads=threads)
    plan = subject.made.plan
    return Report(
        name=subject.name,
        float_model=_model_file(source),
        int8_model=_model_file(int8_model),
        plan=summarise_plan(plan),
        evaluation=evaluation,
        latency=timings,
        executed={label: summary(nodes) for label, nodes in executed.items()},
        convolutions={label: convolutions(nodes) for label, nodes in executed.items()},
        roofs=roofs,
        ranges=worst_ranges(subject.calibration.observations.histograms, plan.tensors, WORST_TENSORS),
        images=shown,
        provenance={**how.settings, **_images(subject.calibration, data), "threads": str(threads), **_machine()},
        commands=tuple(how.commands),
        peer=None if peer is None else _peer(peer, model, data, context),
        data=judged.data,
        note=judged.note,
        sums=verdict_of(int8_model),
    )


def _peer(peer: PeerModel, model: FloatModel, data: Dataset, context: Context) -> Peer:
    if peer.path is None:
        return Peer(failed=peer.failed)
    pair = Pair(model.source, peer.path, (context.runtime, context.runtime), context.threads)
    return Peer(_model_file(peer.path), evaluate_pair(pair, data, model.recipe, context))


def _images_of(pair: Pair, judged: JudgedData, recipe: Recipe, evaluation: Evaluation) -> tuple[ReportImage, ...]:
    """Draws the images with the lowest agreement. They are run once more: keeping all masks would cost memory."""
    index = {name: i for i, name in enumerate(judged.images.names)}
    worst = [index[image.name] for image in evaluation.worst(WORST_IMAGES)]
    ignored, runtime = recipe.output.ignore_index, pair.runtimes[1]
    with open_pair(pair.reference, pair.candidate, threads=pair.threads, runtime=runtime) as opened:
        compared = (compare(*opened, judged.images, recipe, i, folded=judged.taken) for i in worst)
        return tuple(image(one, evaluation.classes, ignored) for one in compared)


def _model_file(path: Path) -> ModelFile:
    return ModelFile(path.name, file_bytes(path), digest(path))


def _images(calibration: Calibration, data: Dataset) -> dict[str, str]:
    seen = {image.digest for image in calibration.observations.images}
    both = sum(data.digest(index) in seen for index in range(len(data.names)))
    return {
        "calibrated on": f"{len(calibration.observations.images)} images",
        "calibration data, SHA-256": calibration.data_digest,
        "judged on": f"{len(data.names)} images, {both or 'none'} of them seen in calibration",
    }


def _machine() -> dict[str, str]:
    known = provenance()
    return {
        "processor": f"{known.processor}, {known.cores} cores",
        "instruction sets": ", ".join(known.instruction_sets or ()) or "unknown",
        "system": f"{known.os}, Python {known.python}",
        **known.packages,
    }
