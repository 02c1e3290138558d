"""Measures a float model and its quantised models on images, and collects the results in one Report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quantseg.calibration.context import Context
from quantseg.calibration.file import Calibration
from quantseg.data import Dataset
from quantseg.data.recipe import Recipe
from quantseg.evaluation.agreement import Evaluation, Pair, evaluate_pair
from quantseg.evaluation.model_files import ModelWithRecipe
from quantseg.evaluation.predictions import Comparison, FoldedInput, compare, open_pair
from quantseg.evaluation.tool_comparison import Entry, judge, runtime_of
from quantseg.quantization.affine import QuantParams
from quantseg.quantization.int8_file import Int8File
from quantseg.report.content import FLOAT, INT8, ModelFile, Peer, Report
from quantseg.report.images import ReportImage, image
from quantseg.report.instance_images import instance_image
from quantseg.report.plan import PlanSummary
from quantseg.report.ranges import TensorRange, worst_ranges
from quantseg.report.summary import NNCF
from quantseg.report.verdict import Made
from quantseg.runtimes import for_file
from quantseg.runtimes.execution import ExecutedNode, summary
from quantseg.runtimes.latency import Turns, benchmark
from quantseg.runtimes.on_disk import file_bytes, file_digest
from quantseg.runtimes.provenance import provenance
from quantseg.runtimes.roofline import beside_roofs, convolutions
from quantseg.simulation.saturation import verdict_of

_PACKAGES = {NNCF: ("openvino", "nncf")}
"""Another quantizer → the distributions, besides our own, whose versions can change its figures."""
WORST_TENSORS = 6
WORST_IMAGES = 8
PROFILE_RUNS = 10


@dataclass(frozen=True)
class Subject:
    """The models of a report. reference: the float model. int8: the quantised model's file.

    grids: tensor → its grid there. plan: of a model that was made here; file: what the file of any other says.
    calibration: what the quantised model was calibrated on; None if that is not known. peers: the models of the other
    quantizers that are compared.
    """

    name: str
    reference: ModelWithRecipe
    int8: Path
    grids: Mapping[str, QuantParams]
    plan: PlanSummary | None = None
    file: Int8File | None = None
    calibration: Calibration | None = None
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


def build_report(subject: Subject, judged: JudgedData, how: Measuring, context: Context) -> Report:
    """Evaluates, times and profiles the float and the int8 model, and the peers' models.

    Raises ModelError and DataError as the measurements do.
    """
    reference, int8_model, data = subject.reference, subject.int8, judged.images
    runtime, recipe, threads, track = context.runtime, reference.recipe, context.threads, context.track
    pair = Pair(reference.path, int8_model, (runtime, runtime), threads, judged.taken)
    evaluation = evaluate_pair(pair, data, recipe, context)
    shown = _images_of(pair, judged, recipe, evaluation) if how.images else ()
    peers = tuple(_peer(entry, reference, data, context) for entry in subject.peers)
    files = {entry.name: entry.model.path for entry, peer in zip(subject.peers, peers, strict=True) if not peer.failed}
    models = {FLOAT: reference.path, INT8: int8_model} | {n: path for n, path in files.items() if path is not None}
    runtimes = {label: for_file(runtime, path) for label, path in models.items()}
    runtimes |= {e.name: runtime_of(e, context) for e in subject.peers}
    own = data.load(0).feeds(reference.inputs.image.name)
    feeds = dict.fromkeys(models, own)
    if judged.taken is not None:
        feeds[INT8] = judged.taken.dataset.load(0).feeds(judged.taken.input.name)
    timings = benchmark(models, feeds, runtime=runtimes, threads=threads, turns=Turns(rounds=how.rounds), track=track)

    def profile() -> dict[str, tuple[ExecutedNode, ...]]:
        return {
            label: runtimes[label].executed(path, feeds[label], threads=threads, runs=PROFILE_RUNS)
            for label, path in track(models.items(), total=len(models), what="profile operators")
        }

    executed, roofs = beside_roofs(profile, runtime, threads=threads)
    seen = None if subject.calibration is None else seen_in(subject.calibration, data)
    histograms = {} if subject.calibration is None else subject.calibration.observations.histograms
    ranges = worst_ranges(histograms, subject.grids, WORST_TENSORS)
    return Report(
        name=subject.name,
        float_model=_model_file(reference.path),
        int8_model=_model_file(int8_model),
        plan=subject.plan,
        evaluation=evaluation,
        latency=timings,
        executed={label: summary(nodes) for label, nodes in executed.items()},
        convolutions={label: convolutions(nodes) if _is_timed(nodes) else () for label, nodes in executed.items()},
        roofs=roofs,
        ranges=ranges,
        images=shown,
        provenance={
            **how.settings,
            **_images(subject.calibration, data, seen),
            "threads": str(threads),
            **_machine(peers),
        },
        commands=tuple(how.commands),
        peers=peers,
        data=judged.data,
        note=judged.note,
        sums=verdict_of(int8_model),
        seen=seen,
        made=how.made,
        file=subject.file,
        left_out={} if subject.file is None else _left_out(subject.calibration, ranges),
    )


def _left_out(calibration: Calibration | None, ranges: Sequence[TensorRange]) -> dict[str, str]:
    """Section → why the report on a model that was not made here lacks it."""
    missing = {
        "What stays float": "why a node stays float is in no file; What runs tells which nodes do",
        "The plan": "it is known only of models that this command makes: give it the float model alone",
    }
    if calibration is None:
        return missing | {"Worst ranges": "they need values of tensors: give the images it was calibrated on, too"}
    return missing if ranges else missing | {"Worst ranges": "no tensor of the file has the name of an observed one"}


def _peer(entry: Entry, model: ModelWithRecipe, data: Dataset, context: Context) -> Peer:
    judged = judge(entry, model.path, model.recipe, data, context)
    path = None if judged.failed else entry.model.path
    return Peer(entry.name, None if path is None else _model_file(path), judged.evaluation, judged.failed)


def _images_of(pair: Pair, judged: JudgedData, recipe: Recipe, evaluation: Evaluation) -> tuple[ReportImage, ...]:
    """Draws the images with the lowest agreement. They are run once more: keeping all masks would cost memory."""
    index = {name: i for i, name in enumerate(judged.images.names)}
    worst = [index[name] for name in _worst(evaluation)]
    runtime = pair.runtimes[1]
    with open_pair(pair.reference, pair.candidate, threads=pair.threads, runtime=runtime) as opened:
        compared = (compare(*opened, judged.images, recipe, i, folded=judged.taken) for i in worst)
        return tuple(_drawn(one, evaluation.classes, recipe) for one in compared)


def _worst(evaluation: Evaluation) -> tuple[str, ...]:
    """Names of the images that are shown: those with the most instances lost or gained, then by agreement."""
    changed = () if evaluation.instances is None else evaluation.instances.worst(WORST_IMAGES)
    listed = *(one.name for one in changed), *(one.name for one in evaluation.worst(len(evaluation.per_image)))
    return tuple(dict.fromkeys(listed))[:WORST_IMAGES]


def _drawn(comparison: Comparison, classes: Sequence[str], recipe: Recipe) -> ReportImage:
    if comparison.reference.instances is None:
        return image(comparison, classes, recipe.output.ignore_index)
    return instance_image(comparison, classes, recipe.output.threshold)


def _is_timed(nodes: Sequence[ExecutedNode]) -> bool:
    """Whether the runtime tells times of nodes; LiteRT does not."""
    return any(node.seconds for node in nodes)


def _model_file(path: Path) -> ModelFile:
    return ModelFile(path.name, file_bytes(path), file_digest(path))


def seen_in(calibration: Calibration, data: Dataset) -> int:
    """How many images of a data set were calibrated on: equal files count, whatever their names and folders."""
    seen = {image.digest for image in calibration.observations.images}
    return sum(data.digest(index) in seen for index in range(len(data.names)))


def _images(calibration: Calibration | None, data: Dataset, seen: int | None) -> dict[str, str]:
    if calibration is None:
        return {"calibrated on": "not known", "judged on": f"{len(data.names)} images"}
    return {
        "calibrated on": f"{len(calibration.observations.images)} images",
        "calibration data, SHA-256": calibration.data_digest,
        "judged on": f"{len(data.names)} images, {seen or 'none'} of them seen in calibration",
    }


def _machine(peers: Sequence[Peer]) -> dict[str, str]:
    known = provenance(*(package for peer in peers for package in _PACKAGES.get(peer.name, ())))
    return {
        "processor": f"{known.processor}, {known.cores} cores",
        "instruction sets": ", ".join(known.instruction_sets or ()) or "unknown",
        "system": f"{known.os}, Python {known.python}",
        **known.packages,
    }
