"""Every model at its fastest: float, onnxruntime's quantizer, QDQ, and `--target ort-cpu`, also from pixels to classes.

    python -m tests.bench.speed [MODEL ...]

Needs the models and images in ../shared, which are not part of this project.
"""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from quantseg.evaluation import peer_models
from quantseg.evaluation.agreement import evaluate
from quantseg.evaluation.predictions import open_pair
from quantseg.mixed_precision.target_facts import ORT_CPU
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.folding import Fold
from quantseg.report import tables
from quantseg.runtimes import DEFAULT
from quantseg.runtimes.execution import summary
from quantseg.runtimes.latency import Turns, benchmark
from tests.bench import contestants, writing
from tests.bench.contestants import FAST, THREADS, Subject

FLOAT, PEER, QDQ, FASTEST, WHOLE = "float", "onnxruntime", "QDQ", "ort-cpu", "pixels to classes"
OPTIONS = {
    QDQ: FAST,
    FASTEST: replace(FAST, target=TargetOptions(ORT_CPU)),
    WHOLE: replace(FAST, target=TargetOptions(ORT_CPU), fold=Fold(preprocess=True, argmax=True)),
}
CALIBRATION, VALIDATION = 16, 24
ROUNDS, RUNS = 7, 8


def measured(subject: Subject, folder: Path) -> dict[str, Any]:
    """Latencies in turns, and what both int8 formats of this tool say of the same images."""
    given = subject.calibrated()
    context = FAST.context(subject.calibration)
    peer = peer_models.peer_model(subject.model, context, FAST.settings, FAST.calibrator, folder / "peer.onnx", "qdq")
    models = {FLOAT: subject.path} | ({} if peer.path is None else {PEER: peer.path})
    made = {name: subject.quantised(options, given) for name, options in OPTIONS.items()}
    models |= {name: one.save(folder / f"{name}.onnx") for name, one in made.items()}
    real = {subject.model.input.name: subject.validation.load(0).tensor}
    feeds: dict[str, dict[str, Any]] = dict.fromkeys(models, real)
    whole, fastest = made[WHOLE].candidate.model, made[FASTEST]
    feeds[WHOLE] = {whole.input.name: np.random.default_rng(0).integers(0, 256, _pixels(whole), dtype=np.uint8)}
    timings = benchmark(models, feeds, runtime=DEFAULT, threads=THREADS, turns=Turns(ROUNDS, RUNS))
    executed = summary(DEFAULT.executed(models[FASTEST], feeds[FASTEST], threads=THREADS, runs=RUNS))
    return {
        "timings": {timing.name: asdict(timing) for timing in timings},
        "peer": peer.failed,
        "executed": asdict(executed),
        "kept_float": dict(fastest.plan.kept_float),
        "notes": fastest.notes,
        "shifted": sum(way == "shifted" for way in fastest.plan.variants.values()),
        "masks": {name: _judged(subject, models[name]) for name in (QDQ, FASTEST)},
    }


def _pixels(model: FloatModel) -> tuple[int, ...]:
    shape, size = model.input.shape, model.recipe.input.size
    assert size is not None
    return tuple(fixed or open_ for fixed, open_ in zip(shape, (1, *size, 3), strict=True))


def _judged(subject: Subject, path: Path) -> dict[str, float | None]:
    """Agreement with the float masks, and both models' mean IoU where the labels are of the model's classes."""
    with open_pair(subject.path, path, threads=THREADS) as (reference, candidate):
        found = evaluate(reference, candidate, subject.validation, subject.model.recipe)
    before, after = found.float_scores, found.int8_scores
    known = subject.labelled and before is not None and after is not None
    return {
        "agreement": found.agreement,
        "float_mean_iou": before.mean_iou if known and before else None,
        "int8_mean_iou": after.mean_iou if known and after else None,
    }


def main() -> None:
    """Measures every model, or those that are named, and writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", help="default: all")
    results: dict[str, Any] = {}
    for name in parser.parse_args().models or contestants.names():
        with (
            contestants.subject(name, calibration=CALIBRATION, validation=VALIDATION) as one,
            tempfile.TemporaryDirectory() as folder,
        ):
            results[name] = measured(one, Path(folder))
        print(name, {key: round(t["ratio"], 2) for key, t in results[name]["timings"].items()}, flush=True)
    speeds = {
        column: [found["timings"][column]["ratio"] for found in results.values() if column in found["timings"]]
        for column in (PEER, QDQ, FASTEST, WHOLE)
    }
    total = {column: float(np.exp(np.mean(np.log(ratios)))) for column, ratios in speeds.items()}
    lowest = {column: min(ratios) for column, ratios in speeds.items()}
    rows = [_speed_row(name, found) for name, found in results.items()]
    rows += [
        ("geometric mean", *(tables.ratio(total[column]) for column in speeds), None),
        ("slowest", *(tables.ratio(lowest[column]) for column in speeds), None),
    ]
    page = writing.Page(
        "Speed over float: every model at its fastest",
        f"Float median over own median, {ROUNDS} alternating rounds of {RUNS} runs, one session alive, {THREADS} "
        f"threads. Min/max over {CALIBRATION} images (the datasets' own order, evenly spread), effort fast, else "
        "default settings. onnxruntime: its quantizer, QDQ, per channel. ort-cpu: `quantseg quantize --target "
        "ort-cpu`. pixels to classes: the same with `--fold-preprocess --fold-argmax`; float does neither, so that "
        f"column flatters float. Agreement: mean IoU with the float masks over at most {VALIDATION} other images "
        "(sinet: the same ten). mIoU: against the labels, where the model has them. 'in conv': share of node time of "
        "the ort-cpu model.",
        {
            "Speed": (("model", PEER, QDQ, FASTEST, WHOLE, "in conv"), rows),
            "The same masks": (
                ("model", "agreement QDQ", "ort-cpu", "mIoU float", "QDQ", "ort-cpu"),
                [_mask_row(name, found) for name, found in results.items()],
            ),
        },
    )
    writing.write("speed", page, {"geometric_mean": total, "slowest": lowest, "models": results})


def _speed_row(name: str, found: dict[str, Any]) -> tables.Row:
    columns = (found["timings"].get(column) for column in (PEER, QDQ, FASTEST, WHOLE))
    share = tables.percent(found["executed"]["convolution_share"])
    return (name, *(None if timing is None else tables.ratio(timing["ratio"]) for timing in columns), share)


def _mask_row(name: str, found: dict[str, Any]) -> tables.Row:
    portable, fast = found["masks"][QDQ], found["masks"][FASTEST]
    scores = portable["float_mean_iou"], portable["int8_mean_iou"], fast["int8_mean_iou"]
    agreement = tables.percent(portable["agreement"]), tables.percent(fast["agreement"])
    return (name, *agreement, *map(tables.percent, scores))


if __name__ == "__main__":
    main()
