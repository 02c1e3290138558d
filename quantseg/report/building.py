"""Measures a float model and its int8 forms on images, and gathers everything into one report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from quantseg import graph
from quantseg.calibration.file import Calibration
from quantseg.data import Dataset
from quantseg.data.recipe import Recipe
from quantseg.evaluation.agreement import Evaluation, evaluate
from quantseg.evaluation.predictions import compare, open_pair
from quantseg.evaluation.tool_comparison import PeerModel
from quantseg.pipeline import FloatModel
from quantseg.progress import Track, quiet
from quantseg.quantization.plan import QuantPlan
from quantseg.report.content import FLOAT, INT8, PEER, ModelFile, Peer, Report
from quantseg.report.images import Picture, picture
from quantseg.report.plan import summarise_plan
from quantseg.report.ranges import worst_ranges
from quantseg.runtimes import RUNTIMES, Session
from quantseg.runtimes.execution import ExecutedNode, summary
from quantseg.runtimes.latency import benchmark, file_bytes
from quantseg.runtimes.provenance import provenance
from quantseg.runtimes.roofline import beside_roofs, convolutions
from quantseg.simulation.saturation import verdict_of

WORST_TENSORS = 6
WORST_IMAGES = 8
PROFILE_RUNS = 10


def build_report(
    name: str,
    model: FloatModel,
    int8_model: Path,
    *,
    plan: QuantPlan,
    calibration: Calibration,
    data: Dataset,
    threads: int,
    rounds: int,
    pictures: bool,
    settings: Mapping[str, str],
    commands: Sequence[str],
    peer: PeerModel | None = None,
    dataset: str | None = None,
    note: str | None = None,
    track: Track = quiet,
) -> Report:
    """Evaluates, times and profiles both models, and onnxruntime's quantizer's beside them where there is one.

    settings: what else the figures depend on. dataset, note: the report's `data` and `note`.
    Raises ModelError and DataError as the measurements do.
    """
    runtime, recipe = RUNTIMES["onnxruntime"], model.recipe
    with open_pair(model.path, int8_model, threads=threads) as (reference, candidate):
        evaluation = evaluate(reference, candidate, data, recipe, track=track)
        shown = _pictures(reference, candidate, data, recipe, evaluation) if pictures else ()
    feeds = {model.input.name: data.load(0).tensor}
    models = {FLOAT: model.path, INT8: int8_model}
    if peer is not None and peer.path is not None:
        models[PEER] = peer.path
    timings = benchmark(
        models, runtime=runtime, threads=threads, feeds=dict.fromkeys(models, feeds), rounds=rounds, track=track
    )

    def profile() -> dict[str, tuple[ExecutedNode, ...]]:
        return {
            label: runtime.executed(path, feeds, threads=threads, runs=PROFILE_RUNS) for label, path in models.items()
        }

    executed, roofs = beside_roofs(profile, runtime, threads=threads)
    return Report(
        name=name,
        float_model=_model_file(model.path),
        int8_model=_model_file(int8_model),
        plan=summarise_plan(plan),
        evaluation=evaluation,
        latency=timings,
        executed={label: summary(nodes) for label, nodes in executed.items()},
        convolutions={label: convolutions(nodes) for label, nodes in executed.items()},
        roofs=roofs,
        ranges=worst_ranges(calibration.observations.histograms, plan.tensors, WORST_TENSORS),
        pictures=shown,
        provenance={**settings, **_images(calibration, data), "threads": str(threads), **_machine()},
        commands=tuple(commands),
        peer=None if peer is None else _peer(peer, model, data, threads, track),
        data=dataset,
        note=note,
        sums=verdict_of(int8_model),
    )


def _peer(peer: PeerModel, model: FloatModel, data: Dataset, threads: int, track: Track) -> Peer:
    if peer.path is None:
        return Peer(failed=peer.failed)
    with open_pair(model.path, peer.path, threads=threads) as (reference, candidate):
        evaluation = evaluate(reference, candidate, data, model.recipe, track=track)
    return Peer(_model_file(peer.path), evaluation)


def _pictures(
    reference: Session, candidate: Session, data: Dataset, recipe: Recipe, evaluation: Evaluation
) -> tuple[Picture, ...]:
    """The images that agree least, run once more: keeping every image's masks until then would cost memory."""
    index = {name: i for i, name in enumerate(data.names)}
    worst = (index[image.name] for image in evaluation.worst(WORST_IMAGES))
    ignored = recipe.output.ignore_index
    return tuple(picture(compare(reference, candidate, data, recipe, i), evaluation.classes, ignored) for i in worst)


def _model_file(path: Path) -> ModelFile:
    return ModelFile(path.name, file_bytes(path), graph.digest(path))


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
