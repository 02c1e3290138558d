"""Instances: what int8 loses of them, beside other quantizers with and without lists of nodes that a person made.

    python -m tests.bench.instances [MODEL ...] [--calibration cells:32#2000000] [--validation cells:200#3000000]

MODEL: a reference model's name, or the path of an ONNX model of instances; default: yolo_seg and mask_rcnn. Needs the
extra `instances`; NNCF's rows need the extra `openvino`.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from quantseg import api
from quantseg.data import Dataset
from quantseg.data.sources import opener
from quantseg.errors import MissingExtraError, ModelError, PeerError
from quantseg.evaluation.agreement import Evaluation, Pair, evaluate_pair
from quantseg.evaluation.metrics.instances import LOOSE, TIGHT
from quantseg.evaluation.peer_models import reason_of
from quantseg.evaluation.peers import PeerSettings, quantize_with_nncf, quantize_with_onnxruntime
from quantseg.evaluation.reference_models import CALIBRATION_SEED, VALIDATION_SEED, reference_models
from quantseg.graph import load
from quantseg.graph.detection import REGIONS, SUPPRESSION
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.plan.detection import kept_by_detection
from quantseg.quantization.writing import QuantizedModel
from quantseg.refinement.options import Options
from quantseg.report import tables
from quantseg.runtimes import DEFAULT, RUNTIMES
from quantseg.runtimes.latency import Turns, benchmark
from tests.bench import writing

MODELS = ("yolo_seg", "mask_rcnn")
FLOAT, OURS, ORT, NNCF = "float", "quantseg", "onnxruntime quantizer", "NNCF"
LISTED, NARROW = ", with a list", ", with a list and 7-bit weights"
TURNS, THREADS, PROFILED = Turns(7, 10), 2, 20
FAMILIES = {"RoiAlign": REGIONS, "NonMaxSuppression": {SUPPRESSION}, "TopK": {"TopK"}}
"""Operators whose time is stated apart."""


def list_of(model: FloatModel) -> tuple[str, ...]:
    """The nodes that a person has to name for another quantizer: those of detection, by their names in the file."""
    assert isinstance(model.source, Path)
    names = {str(node.name) for node in load(model.source).graph if node.name}
    kept = (str(node.name) for node in kept_by_detection(model.prepared.model.graph))
    return tuple(name for name in kept if name in names)


def made(
    model: FloatModel, calibration: Dataset, folder: Path
) -> tuple[QuantizedModel, dict[str, Path], dict[str, str]]:
    """Our model, the files of all models by name, and why some are missing."""
    source, listed = model.source, list_of(model)
    assert isinstance(source, Path)
    feeds = [calibration.load(index).feeds(model.input.name) for index in range(len(calibration.names))]
    ours = api.quantize(model, calibration, options=Options(threads=THREADS))
    files, failed = {FLOAT: source, OURS: ours.save(folder / "ours.onnx")}, dict[str, str]()
    ways = {
        ORT: lambda path: quantize_with_onnxruntime(source, path, feeds, PeerSettings()),
        ORT + LISTED: lambda path: quantize_with_onnxruntime(source, path, feeds, PeerSettings(exclude=listed)),
        ORT + NARROW: lambda path: quantize_with_onnxruntime(
            source, path, feeds, PeerSettings(exclude=listed, reduce_range=True)
        ),
        NNCF: lambda path: quantize_with_nncf(source, path, feeds, images=len(feeds)),
        NNCF + LISTED: lambda path: quantize_with_nncf(source, path, feeds, images=len(feeds), exclude=listed),
    }
    for number, (name, way) in enumerate(ways.items()):
        path = folder / f"{number}.{'xml' if name.startswith(NNCF) else 'onnx'}"
        try:
            way(path)
            files[name] = path
        except (PeerError, MissingExtraError) as error:
            failed[name] = reason_of(error, source)
    return ours, files, failed


def evaluated(model: FloatModel, path: Path, validation: Dataset) -> Evaluation:
    """The model at `path` compared with the float model in onnxruntime."""
    assert isinstance(model.source, Path)
    runtime = RUNTIMES["openvino"] if path.suffix == ".xml" else DEFAULT
    pair = Pair(model.source, path, (DEFAULT, runtime), THREADS)
    return evaluate_pair(pair, validation, model.recipe, Options(threads=THREADS).context(validation))


def timed(model: FloatModel, files: Mapping[str, Path], validation: Dataset) -> dict[str, Any]:
    """Latencies in alternating rounds: of ONNX files in onnxruntime, of NNCF's and the float model in OpenVINO."""
    feeds = validation.load(0).feeds(model.input.name)
    found = dict[str, Any]()
    for runtime in (DEFAULT, RUNTIMES["openvino"]):
        own = {name: path for name, path in files.items() if (path.suffix == ".xml") == (runtime is not DEFAULT)}
        if runtime is not DEFAULT and own:
            own = {FLOAT: files[FLOAT], **own}
        if own:
            timings = benchmark(own, dict.fromkeys(own, feeds), runtime=runtime, threads=THREADS, turns=TURNS)
            found |= {one.name: {**asdict(one), "runtime": runtime.name} for one in timings if one.name not in found}
    return found


def apart(path: Path, feeds: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds of all nodes and of each family of operators, by onnxruntime's profile."""
    nodes = DEFAULT.executed(path, feeds, threads=THREADS, runs=PROFILED)
    total = {"all nodes": sum(node.seconds for node in nodes)}
    each = {name: sum(n.seconds for n in nodes if n.op_type in family) for name, family in FAMILIES.items()}
    return {name: 1000 * seconds for name, seconds in (total | each).items()}


def measured(path: Path, calibration: str, validation: str) -> dict[str, Any]:
    """All figures of one model."""
    model = api.load(path)
    sets = [opener(place, masks=place == validation)(model.recipe, model.input) for place in (calibration, validation)]
    with tempfile.TemporaryDirectory() as folder:
        ours, files, failed = made(model, sets[0], Path(folder))
        found = dict[str, Any]()
        for name in [name for name in files if name != FLOAT]:
            try:
                found[name] = without_images(evaluated(model, files[name], sets[1]).to_json())
            except ModelError as error:  # outputs that are not finite
                failed[name] = reason_of(error, path)
                del files[name]
        feeds, plan = sets[1].load(0).feeds(model.input.name), ours.plan
        return {
            "timings": timed(model, files, sets[1]),
            "evaluations": found,
            "apart": {name: apart(files[name], feeds) for name in (FLOAT, OURS)},
            "failed": failed,
            "listed": list_of(model),
            "integer": [len(plan.quantised), len(plan.nodes)],
            "kept_float": dict(plan.kept_float),
            "notes": ours.notes,
        }


def without_images(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The figures over all images alone."""
    total = {key: value for key, value in evaluation["instances"].items() if key != "per_image"}
    return {key: value for key, value in evaluation.items() if key != "per_image"} | {"instances": total}


def main() -> None:
    """Measures the models and writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--calibration", default=f"cells:32#{CALIBRATION_SEED}")
    parser.add_argument("--validation", default=f"cells:200#{VALIDATION_SEED}")
    given, known = parser.parse_args(), reference_models(instances=True)
    for name in given.models:
        if Path(name).suffix != ".onnx" and name not in known:
            parser.error(f"{name}: is no reference model here, nor the path of an ONNX model")
    results: dict[str, Any] = {}
    for name in given.models:
        path = known.get(name, Path(name))
        results[path.stem] = measured(path, given.calibration, given.validation)
        print(path.stem, results[path.stem]["failed"], flush=True)
    headers = ("model", "AP", "AP50", "points lost", "same at 0.5", "at 0.9", "lost", "gained", "size", "speed-up")
    pieces = ("model", "all nodes", *FAMILIES)
    page = writing.Page(
        "Instances in int8",
        f"Mask AP by COCO's rules on {given.validation}, ranges from {given.calibration}; the float model's instances "
        "above its threshold, matched with each int8 model's at mask IoU 0.5 and 0.9. quantseg: default settings, "
        "effort balanced. onnxruntime's quantizer and NNCF: their defaults (per channel), and with a list of nodes "
        "that stay float, which a person has to make: here all that quantseg finds by itself. 7-bit weights: "
        "reduce_range, without which sums saturate on processors with AVX2 and no VNNI. Speed: float median over "
        f"own median in the same runtime, {TURNS.rounds} alternating rounds of {TURNS.runs} runs, {THREADS} threads.",
        {
            **{name: (headers, [*rows(found)]) for name, found in results.items()},
            "RoiAlign and suppression apart, milliseconds": (
                pieces,
                [
                    (f"{name}, {which}", *(round(milliseconds, 3) for milliseconds in one.values()))
                    for name, found in results.items()
                    for which, one in found["apart"].items()
                ],
            ),
        },
        packages=[name for name in ("faster-coco-eval", "nncf", "openvino") if installed(name)],
        notes=[note(name, found) for name, found in results.items()],
    )
    writing.write("instances", page, {"models": results})


def installed(package: str) -> bool:
    """Whether the distribution is there, to tell its version."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def rows(found: Mapping[str, Any]) -> list[tables.Row]:
    """A row for each model, the float one first; a model that could not be made has the reason in its name."""
    evaluations = found["evaluations"]
    floats = next(iter(evaluations.values()))["float_scores"]
    summary = {} if floats is None else floats["summary"]
    first = (FLOAT, *(_percent(summary.get(key)) for key in ("ap", "ap50")), *[None] * 5)
    listed: list[tables.Row] = [(*first, *_cost(found["timings"][FLOAT]))]
    for name, one in evaluations.items():
        scores = (one["int8_scores"] or {"summary": {}})["summary"]
        lost = None if scores.get("ap") is None else f"{100 * (summary['ap'] - scores['ap']):.2f}"
        seen = one["instances"]
        listed.append(
            (
                *(name, _percent(scores.get("ap")), _percent(scores.get("ap50")), lost),
                *(_share(seen, LOOSE), _share(seen, TIGHT), seen["lost"], seen["gained"]),
                *_cost(found["timings"][name]),
            )
        )
    return [*listed, *((f"{name}: {reason}", *[None] * 9) for name, reason in found["failed"].items())]


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.2f} %"


def _share(seen: Mapping[str, Any], iou: float) -> str | None:
    share = seen["kept"][str(iou)]
    return None if share is None else tables.percent(share)


def _cost(timing: Mapping[str, Any]) -> tuple[str, str]:
    return f"{timing['file_bytes'] / 1e6:.2f} MB", tables.ratio(timing["ratio"])


def note(name: str, found: Mapping[str, Any]) -> str:
    """What other quantizers need by hand for this model."""
    integer, nodes = found["integer"]
    listed = ", ".join(f"`{one}`" for one in found["listed"])
    return (
        f"**{name}**: {integer} of {nodes} nodes in integers. The list of the other quantizers has "
        f"{len(found['listed'])} names: {listed}."
    )


if __name__ == "__main__":
    main()
