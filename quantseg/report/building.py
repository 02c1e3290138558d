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
from quantseg.evaluation.tool_comparison import Entry, judge, nncf_model, peer_calibrator, peer_model, runtime_of
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.model_files import as_file, digest
from quantseg.quantization.writing import QuantizedModel
from quantseg.report.content import FLOAT, INT8, ModelFile, Peer, Report
from quantseg.report.images import ReportImage, image
from quantseg.report.plan import summarise_plan
from quantseg.report.ranges import worst_ranges
from quantseg.report.summary import NNCF, PEER
from quantseg.report.verdict import Made
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
    openvino: whether NNCF's, in OpenVINO, is too. int8_model: a path to write the int8 model to as well. dataset, note:
    as `data` and `note` of Report. commands: the command lines that made the report.
    """

    name: str | None = None
    rounds: int = 5
    images: bool = True
    peer: bool = False
    openvino: bool = False
    int8_model: Path | None = None
    dataset: str | None = None
    note: str | None = None
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Subject:
    """The models of a report. model: the float model, from a file. made: our int8 model, written to the file `int8`.

    calibration: what `made` was calibrated on. peers: the models of the other quantizers that are compared.
    """

    name: str
    model: FloatModel
    int8: Path
    made: QuantizedModel
    calibration: Calibration
    peers: tuple[Entry, ...] = ()


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
    commands: the command lines that made the report. made: as in Report.
    """

    rounds: int = 5
    images: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    made: Made = field(default_factory=Made)


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
        peers = list[Entry]()
        if how.peer and given.images is not None:
            place = Path(folder) / f"{name}.onnxruntime.onnx"
            peers.append(
                Entry(PEER, peer_model(model, context, made.candidate.settings, calibrator, place, made.qformat))
            )
            settings[f"{PEER}, calibrator"] = peer_calibrator(calibrator)
        if how.openvino and given.images is not None:
            place = Path(folder) / f"{name}.nncf.xml"
            peers.append(Entry(NNCF, nncf_model(model, context, place), "openvino"))
        judged = JudgedData(images(model.recipe, model.inputs), taken(made, model, images), how.dataset, how.note)
        subject = Subject(name, model, target, made, given.calibration, tuple(peers))
        told = made_of(made, path.name, effort, len(given.calibration.observations.images))
        return build_report(subject, judged, Measuring(how.rounds, how.images, settings, how.commands, told), context)


def made_of(made: QuantizedModel, float_model: str, effort: str, images: int) -> Made:
    """How a model was made. float_model: the file's name. images: that it was calibrated on."""
    settings, calibrator = made.candidate.settings, made.candidate.ranges.calibrator
    clips = None if calibrator == "minmax" else calibrator
    return Made(float_model, effort, settings.weight.name, settings.per_channel, images, clips)


def build_report(subject: Subject, judged: JudgedData, how: Measuring, context: Context) -> Report:
    """Evaluates, times and profiles the float and the int8 model, and the peers' models.

    Raises ModelError and DataError as the measurements do.
    """
    model, int8_model, data = subject.model, subject.int8, judged.images
    runtime, recipe, threads, track = context.runtime, model.recipe, context.threads, context.track
    pair = Pair(model.source, int8_model, (runtime, runtime), threads, judged.taken)
    evaluation = evaluate_pair(pair, data, recipe, context)
    shown = _images_of(pair, judged, recipe, evaluation) if how.images else ()
    source = model.source
    assert isinstance(source, Path)
    peers = tuple(_peer(entry, model, data, context) for entry in subject.peers)
    files = {entry.name: entry.model.path for entry, peer in zip(subject.peers, peers, strict=True) if not peer.failed}
    models = {FLOAT: source, INT8: int8_model} | {name: path for name, path in files.items() if path is not None}
    runtimes = dict.fromkeys(models, runtime) | {e.name: runtime_of(e, context) for e in subject.peers}
    own = data.load(0).feeds(model.input.name)
    feeds = dict.fromkeys(models, own)
    if judged.taken is not None:
        feeds[INT8] = judged.taken.dataset.load(0).feeds(judged.taken.input.name)
    timings = benchmark(models, feeds, runtime=runtimes, threads=threads, turns=Turns(rounds=how.rounds), track=track)

    def profile() -> dict[str, tuple[ExecutedNode, ...]]:
        return {
            label: runtimes[label].executed(path, feeds[label], threads=threads, runs=PROFILE_RUNS)
            for label, path in models.items()
        }

    executed, roofs = beside_roofs(profile, runtime, threads=threads)
    plan, seen = subject.made.plan, seen_in(subject.calibration, data)
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
        provenance={**how.settings, **_images(subject.calibration, data, seen), "threads": str(threads), **_machine()},
        commands=tuple(how.commands),
        peers=peers,
        data=judged.data,
        note=judged.note,
        sums=verdict_of(int8_model),
        seen=seen,
        made=how.made,
    )


def _peer(entry: Entry, model: FloatModel, data: Dataset, context: Context) -> Peer:
    judged = judge(entry, model, data, context)
    path = None if judged.failed else entry.model.path
    return Peer(entry.name, None if path is None else _model_file(path), judged.evaluation, judged.failed)


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


def seen_in(calibration: Calibration, data: Dataset) -> int:
    """How many images of a data set were calibrated on: equal files count, whatever their names and folders."""
    seen = {image.digest for image in calibration.observations.images}
    return sum(data.digest(index) in seen for index in range(len(data.names)))


def _images(calibration: Calibration, data: Dataset, seen: int) -> dict[str, str]:
    return {
        "calibrated on": f"{len(calibration.observations.images)} images",
        "calibration data, SHA-256": calibration.data_digest,
        "judged on": f"{len(data.names)} images, {seen or 'none'} of them seen in calibration",
    }


def _machine() -> dict[str, str]:
    known = provenance()
    return {
        "processor": f"{known.processor}, {known.cores} cores",
        "instruction sets": ", ".join(known.instruction_sets or ()) or "unknown",
        "system": f"{known.os}, Python {known.python}",
        **known.packages,
    }
