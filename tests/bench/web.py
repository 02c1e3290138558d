"""In the browser's runtime: float, onnxruntime's quantizer, the portable model and `--target ort-web`, for every model.

    python -m tests.bench.web [MODEL ...] [--threads 2] [--again]

Needs node and onnxruntime-web (quantseg web setup), and the models and images in ../shared, which are not part of this
project. With --threads the report is called web_2_threads. With --again the rows of models that are not named stay as
the report has them, and the page says which were measured again.
"""

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from quantseg.evaluation import peer_models
from quantseg.evaluation.agreement import evaluate
from quantseg.evaluation.predictions import open_pair
from quantseg.mixed_precision.target_facts import ORT_WEB
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.report import tables
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.latency import Turns, benchmark
from tests.bench import contestants, writing
from tests.bench.contestants import FAST, Subject

FLOAT, PEER, PORTABLE, WEB = "float", "onnxruntime", "portable", "ort-web"
CALIBRATION, VALIDATION = 16, 24
ROUNDS, RUNS = 7, 4
RUNTIME = RUNTIMES["onnxruntime-web"]
MODELS = tuple(name for name in contestants.names() if name != contestants.UNET)


def measured(subject: Subject, folder: Path, threads: int) -> dict[str, Any]:
    """Latencies in turns, all in one node process, and the agreement of each int8 model with the float masks."""
    options = {PORTABLE: FAST, WEB: replace(FAST, target=TargetOptions(ORT_WEB), threads=threads)}
    made = {name: subject.quantised(how) for name, how in options.items()}
    context = FAST.context(subject.calibration)
    peer = peer_models.peer_model(subject.model, context, FAST.settings, FAST.calibrator, folder / "peer.onnx", "qdq")
    models = {FLOAT: subject.path} | ({} if peer.path is None else {PEER: peer.path})
    models |= {name: one.save(folder / f"{name}.onnx") for name, one in made.items()}
    feeds = {subject.model.input.name: subject.validation.load(0).tensor}
    turns = Turns(ROUNDS, RUNS)
    timings = benchmark(models, dict.fromkeys(models, feeds), runtime=RUNTIME, threads=threads, turns=turns)
    plan = made[WEB].plan
    return {
        "timings": {timing.name: asdict(timing) for timing in timings},
        "agreement": {name: agreement(subject, path) for name, path in models.items() if name != FLOAT},
        "peer": peer.failed,
        "integer": [len(plan.quantised), len(plan.nodes)],
        "variants": sorted(plan.variants.values()),
        "format": made[WEB].qformat,
        "stores_weights": bool(made[WEB].fit and made[WEB].fit.stores_weights),
        "kept_float": dict(plan.kept_float),
        "notes": made[WEB].notes,
    }


def agreement(subject: Subject, path: Path) -> float:
    """Mean IoU with the float model's masks, in onnxruntime here, whose integers are onnxruntime-web's."""
    with open_pair(subject.path, path, threads=contestants.THREADS) as (reference, candidate):
        return evaluate(reference, candidate, subject.validation, subject.model.recipe).agreement


def main() -> None:
    """Measures every model, or those that are named, and writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", help="default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args()
    suffix = "" if given.threads == 1 else f"_{given.threads}_threads"
    kept, command = _kept(f"web{suffix}") if given.again else ({}, "")
    results: dict[str, Any] = {}
    for name in given.models or MODELS:
        with (
            contestants.subject(name, calibration=CALIBRATION, validation=VALIDATION) as one,
            tempfile.TemporaryDirectory() as folder,
        ):
            results[name] = measured(one, Path(folder), given.threads)
        ratios = {key: round(t["ratio"], 2) for key, t in results[name]["timings"].items()}
        print(name, ratios, results[name]["agreement"], *results[name]["notes"], sep="\n  ", flush=True)
    results = {name: {**kept, **results}[name] for name in MODELS if name in kept or name in results}
    speeds = {
        column: [found["timings"][column]["ratio"] for found in results.values() if column in found["timings"]]
        for column in (PEER, PORTABLE, WEB)
    }
    total = {column: float(np.exp(np.mean(np.log(ratios)))) for column, ratios in speeds.items()}
    lowest = {column: min(ratios) for column, ratios in speeds.items()}
    rows = [_row(name, found) for name, found in results.items()]
    rows += [
        ("geometric mean", None, *(tables.ratio(total[column]) for column in speeds), None),
        ("slowest", None, *(tables.ratio(lowest[column]) for column in speeds), None),
    ]
    page = writing.Page(
        "In the browser's runtime: speed over float, and the same masks",
        f"onnxruntime-web {RUNTIME.version} in node: WebAssembly with SIMD, {given.threads} thread(s). Float median "
        f"over own median, {ROUNDS} alternating rounds of {RUNS} runs, one session alive, timed within node. Min/max "
        f"over {CALIBRATION} images, effort fast, else default settings. onnxruntime: its quantizer, QDQ, per channel. "
        f"ort-web: `quantseg quantize --target ort-web`, in integers: how many of its nodes. Agreement: mean IoU with "
        f"the float masks over at most {VALIDATION} other images (sinet: the same ten), computed by onnxruntime here.",
        {
            "Speed": (("model", "float", PEER, PORTABLE, WEB, "in integers"), rows),
            "The same masks": (("model", PEER, PORTABLE, WEB), [_mask_row(*pair) for pair in results.items()]),
        },
        module="web",
        notes=[f"Measured again, alone: {', '.join(given.models)}; the other rows are of `{command}`."] if kept else (),
    )
    writing.write(f"web{suffix}", page, {"geometric_mean": total, "slowest": lowest, "models": results})


def _kept(name: str) -> tuple[dict[str, Any], str]:
    """The rows of the report as it stands, and the command that made it."""
    before = json.loads((writing.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return before["models"], before["command"]


def _row(name: str, found: dict[str, Any]) -> tables.Row:
    timings = found["timings"]
    ratios = (tables.ratio(timings[column]["ratio"]) if column in timings else None for column in (PEER, PORTABLE, WEB))
    integer, nodes = found["integer"]
    told = "weights alone" if found["stores_weights"] else f"{integer} of {nodes}"
    return (name, tables.milliseconds(timings[FLOAT]["median_ms"]), *ratios, told)


def _mask_row(name: str, found: dict[str, Any]) -> tables.Row:
    agreed = found["agreement"]
    return (name, *(tables.percent(agreed[c]) if c in agreed else None for c in (PEER, PORTABLE, WEB)))


if __name__ == "__main__":
    main()
