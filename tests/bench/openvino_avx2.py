"""OpenVINO on a processor with AVX2 and without VNNI, where sums of two products saturate: masks and latency.

    python -m tests.bench.openvino_avx2 [MODEL ...]

Where models are named, the report is of them alone, and called openvino_target.
Every model runs twice, each time in a process of its own: as the processor is, and held to AVX2 by
ONEDNN_MAX_CPU_ISA. Needs OpenVINO and NNCF, and the models and images in ../shared.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg import graph
from quantseg.evaluation.peers import quantize_with_nncf
from quantseg.evaluation.predictions import predict
from quantseg.mixed_precision.target_facts import OPENVINO
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.quantization.plan import QuantSettings
from quantseg.report import tables
from quantseg.runtimes import DEFAULT, RUNTIMES, Runtime
from quantseg.runtimes.latency import Turns, benchmark
from tests.bench import contestants, writing
from tests.bench.contestants import FAST, Subject

HOLD = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
"""oneDNN reads it when OpenVINO is loaded: convolutions and matrix products then are AVX2's, whatever else there is."""
MODELS = ("cells_unet", "unet", "mobile", "deeplabv3plus", *contestants.SHARED)
FLOAT, SAFE, FULL, FUSED, NNCF = "float", "quantseg", "full range", "for OpenVINO", "NNCF"
FILES = {FLOAT: "float.onnx", SAFE: "safe.onnx", FULL: "full.onnx", FUSED: "fused.onnx", NNCF: "nncf.xml"}
OPTIONS = {
    SAFE: FAST,
    FULL: replace(FAST, settings=QuantSettings(full_range_weights=True)),
    FUSED: replace(FAST, target=TargetOptions(OPENVINO)),
}
OURS, JUDGED = tuple(OPTIONS), (*OPTIONS, NNCF)
IMAGES, ROUNDS, RUNS = 16, 5, 5
_MEASURE = "--measure"


def made(subject: Subject, place: Path) -> None:
    """Writes every form of the model into a folder."""
    place.mkdir()
    graph.save(graph.load(subject.path), place / FILES[FLOAT])
    for name, options in OPTIONS.items():
        subject.quantised(options).save(place / FILES[name])
    count = len(subject.calibration.names)
    feeds = [{subject.model.input.name: subject.calibration.load(index).tensor} for index in range(count)]
    quantize_with_nncf(subject.path, place / FILES[NNCF], feeds, images=count)


def masks(subject: Subject, path: Path, runtime: Runtime) -> NDArray[Any]:
    """The model's masks of all images of the subject, one behind the other: image sizes may differ."""
    data = subject.validation
    with closing(runtime.open(path, threads=contestants.THREADS)) as session:
        found = [predict(session, data.load(i), subject.model.recipe).masks.ravel() for i in range(len(data.names))]
    return np.concatenate(found)


def measure(folder: Path, out: Path, *models: str) -> None:
    """Masks and latencies of what `made` wrote, by OpenVINO as this process has it, into the folder `out`."""
    openvino, found = RUNTIMES["openvino"], {}
    for name in models:
        with contestants.subject(name, calibration=1, validation=IMAGES) as subject:
            paths = {form: folder / name / file for form, file in FILES.items()}
            np.savez(out / f"{name}.npz", **{form: masks(subject, path, openvino) for form, path in paths.items()})
            feeds = {subject.model.input.name: subject.validation.load(0).tensor}
        given = dict.fromkeys(paths, feeds)
        timings = benchmark(paths, given, runtime=openvino, threads=1, turns=Turns(ROUNDS, RUNS))
        found[name] = {timing.name: asdict(timing) for timing in timings}
    (out / "found.json").write_text(json.dumps(found))


def measured(
    folder: Path, where: str, hold: dict[str, str], models: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `measure` finds in a process with these environment variables: figures, and masks by model."""
    out = folder / where
    out.mkdir()
    command = [sys.executable, "-m", "tests.bench.openvino_avx2", _MEASURE, str(folder), str(out), *models]
    subprocess.run(command, check=True, env=os.environ | hold)
    figures: dict[str, Any] = json.loads((out / "found.json").read_text())
    return figures, {name: dict(np.load(out / f"{name}.npz")) for name in models}


def main() -> None:
    """Measures and writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", help="default: eight")
    models = tuple(parser.parse_args().models or MODELS)
    with tempfile.TemporaryDirectory() as place:
        folder, plain, ours = Path(place), {}, {}
        for name in models:
            with contestants.subject(name, calibration=IMAGES, validation=IMAGES) as subject:
                made(subject, folder / name)
                plain[name] = masks(subject, folder / name / FILES[FLOAT], DEFAULT)
                ours[name] = masks(subject, folder / name / FILES[SAFE], DEFAULT)
        free, free_masks = measured(folder, "as-it-is", {}, models)
        held, held_masks = measured(folder, "held", HOLD, models)
    if all((held_masks[name][FULL] == free_masks[name][FULL]).all() for name in models):
        raise SystemExit("OpenVINO held to AVX2 gives full-range weights the same masks: it does not saturate")
    agreements = {
        name: {"onnxruntime": float((ours[name] == plain[name]).mean())}
        | {f"{form}, as it is": float((free_masks[name][form] == plain[name]).mean()) for form in JUDGED}
        | {f"{form}, AVX2": float((held_masks[name][form] == plain[name]).mean()) for form in JUDGED}
        | {f"{form}, changed": int((held_masks[name][form] != free_masks[name][form]).sum()) for form in OURS}
        for name in models
    }
    write(agreements, held, free)


def write(agreements: dict[str, Any], held: dict[str, Any], free: dict[str, Any]) -> None:
    """The tables and their meaning."""
    shown = [(name.split("_a")[0], found) for name, found in agreements.items()]
    columns = ("onnxruntime", *(f"{form}, {where}" for form in JUDGED for where in ("as it is", "AVX2")))
    rows = [
        (
            name,
            *(tables.percent(found[c]) for c in columns),
            *(found[f"{form}, changed"] for form in OURS),
        )
        for name, found in shown
    ]
    shorts = ("ours", "full", "fused", "NNCF")
    heads = (head for short in shorts for head in (short, f"{short}, AVX2"))
    headers = ("model", "ORT", *heads, "changed", "full ch.", "fused ch.")
    sections = {"Masks: pixels as the float model's": (headers, rows)}
    for title, timings in (("Latency, held to AVX2", held), ("Latency, as the processor is", free)):
        sections[title] = (
            ("model", "float", "quantseg", "fused", "NNCF", "quantseg vs float", "fused vs float", "NNCF vs float"),
            [
                (
                    name.split("_a")[0],
                    *(tables.milliseconds(found[form]["median_ms"]) for form in (FLOAT, SAFE, FUSED, NNCF)),
                    *(tables.ratio(found[form]["ratio"]) for form in (SAFE, FUSED, NNCF)),
                )
                for name, found in timings.items()
            ],
        )
    page = writing.Page(
        "OpenVINO where sums of products saturate",
        "OpenVINO held to AVX2 (ONEDNN_MAX_CPU_ISA=AVX2: its convolutions and matrix products; resizing and "
        "arithmetic keep the processor's own instructions) and as the processor is. Effort fast, "
        f"{IMAGES} images to calibrate and as many others (sinet: the same 10) to judge. ours: this tool's portable "
        "model, weights that cannot saturate; full: with --full-range-weights; fused: with --target openvino; ORT: "
        "ours in onnxruntime; changed: pixels that the hold to AVX2 changes. "
        f"Latency: one thread, {ROUNDS} rounds of {RUNS} runs in turns, one session alive, medians. Convolutions in "
        "8 bits, depthwise ones included, are no slower there than float ones. mobile and sinet are slower as a whole: "
        "their hard-swishes, PRelus and bilinear Resizes are integer operators of their own, for onnxruntime's sake, "
        "and OpenVINO fuses float activations into its convolutions, as it does in fused, which is ours where there "
        "are none of these activations. NNCF leaves them float, and is slower too.",
        sections,
        ("openvino", "nncf"),
        module="openvino_avx2",
    )
    figures = {"agreement": agreements, "latency_avx2": held, "latency_as_it_is": free, "held_by": HOLD}
    writing.write("openvino_avx2" if len(agreements) == len(MODELS) else "openvino_target", page, figures)


if __name__ == "__main__":
    if sys.argv[1:2] == [_MEASURE]:
        measure(*map(Path, sys.argv[2:4]), *sys.argv[4:])
    else:
        main()
