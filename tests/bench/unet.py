"""Latency of a U-Net with ConvTranspose: this tool beside onnxruntime's quantizer, and beside NNCF in OpenVINO.

    python -m tests.bench.unet            # as the processor is
    python -m tests.bench.unet --vnni     # no AMX anywhere: OpenVINO held to AVX-512 VNNI, no weights shifted here

OpenVINO's part is left out where it is not installed.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quantseg.calibration.calibrate import Calibrated
from quantseg.evaluation.peers import quantize_with_nncf, quantize_with_onnxruntime
from quantseg.mixed_precision.target_facts import ORT_CPU
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.quantization.formats.convolution import SHIFTED
from quantseg.quantization.writing import QuantizedModel, written
from quantseg.report import tables
from quantseg.runtimes import RUNTIMES, Runtime
from quantseg.runtimes.execution import summary
from quantseg.runtimes.latency import Turns, benchmark
from tests.bench import contestants, writing
from tests.bench.contestants import FAST, THREADS, UNET, Subject

FLOAT, PEER, FASTEST = "float", "ORT's quantizer", "quantseg ort-cpu"
OPENVINO = "openvino"
ROUNDS, RUNS, IMAGES = 9, 10, 16


def fastest(subject: Subject, given: Calibrated, *, amx: bool) -> QuantizedModel:
    """What `--target ort-cpu` makes, with the ways that need AMX or without."""
    made = subject.quantised(replace(FAST, target=TargetOptions(ORT_CPU)), given)
    if amx:
        return made
    overrides = made.candidate.overrides
    ways = {node: way for node, way in overrides.variants.items() if way != SHIFTED}
    return written(replace(made.candidate, overrides=replace(overrides, variants=ways)))


def entries(subject: Subject, place: Path, *, amx: bool) -> dict[str, tuple[Path, str]]:
    """Name → model and runtime."""
    tensors = [{subject.model.input.name: subject.calibration.load(i).tensor} for i in range(IMAGES)]
    found = {FLOAT: (subject.path, "onnxruntime"), PEER: (place / "peer.onnx", "onnxruntime")}
    quantize_with_onnxruntime(subject.path, place / "peer.onnx", tensors)
    given = subject.calibrated()
    for qformat, name in (("qdq", "quantseg QDQ"), ("qoperator", "quantseg QOp.")):
        made = subject.quantised(replace(FAST, qformat=qformat), given)
        found[name] = (made.save(place / f"{qformat}.onnx"), "onnxruntime")
    found[FASTEST] = (fastest(subject, given, amx=amx).save(place / "fast.onnx"), "onnxruntime")
    if find_spec("openvino") and find_spec("nncf"):
        quantize_with_nncf(subject.path, place / "nncf.xml", tensors, images=IMAGES)
        found["float, OpenVINO"] = (subject.path, OPENVINO)
        found["QDQ, OpenVINO"] = (place / "qdq.onnx", OPENVINO)
        found["NNCF, OpenVINO"] = (place / "nncf.xml", OPENVINO)
    return found


def measured(models: Mapping[str, tuple[Path, str]], feeds: Mapping[str, Any]) -> dict[str, Any]:
    """Latencies in turns, and the share of convolutions."""
    runtimes: dict[str, Runtime] = {name: RUNTIMES[runtime] for name, (_, runtime) in models.items()}
    paths = {name: path for name, (path, _) in models.items()}
    turns = Turns(ROUNDS, RUNS)
    timings = benchmark(paths, dict.fromkeys(models, feeds), runtime=runtimes, threads=THREADS, turns=turns)
    return {
        timing.name: asdict(timing)
        | {
            "runtime": models[timing.name][1],
            "executed": asdict(
                summary(runtimes[timing.name].executed(paths[timing.name], feeds, threads=THREADS, runs=RUNS))
            ),
        }
        for timing in timings
    }


def main() -> None:
    """Measures and writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("--vnni", action="store_true", help="no AMX anywhere")
    amx = not parser.parse_args().vnni
    if not amx:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_VNNI"  # read when OpenVINO is loaded
    with (
        contestants.subject(UNET, calibration=IMAGES, validation=1) as subject,
        tempfile.TemporaryDirectory() as folder,
    ):
        models = entries(subject, Path(folder), amx=amx)
        results = measured(models, {subject.model.input.name: subject.validation.load(0).tensor})
    peer = results[PEER]["median_ms"]
    rows = [
        (
            name,
            tables.milliseconds(found["median_ms"]),
            tables.ratio(found["ratio"]),
            tables.ratio(peer / found["median_ms"]),
            tables.megabytes(found["file_bytes"]),
            found["executed"]["float_conv_transposes"] if found["runtime"] == "onnxruntime" else None,
            tables.percent(found["executed"]["convolution_share"]) if found["runtime"] == "onnxruntime" else None,
        )
        for name, found in results.items()
    ]
    headers = ("model", "median", "vs float", "vs ORT's quantizer", "file", "float ConvT", "time in conv")
    held = "" if amx else (
        " No AMX: OpenVINO is held to AVX-512 VNNI (ONEDNN_MAX_CPU_ISA), and quantseg writes no convolution in the way "
        "that takes onnxruntime's AMX matrix product."
    )  # fmt: skip
    page = writing.Page(
        "Latency of a U-Net with ConvTranspose" + ("" if amx else ", without AMX"),
        f"U-Net of tests/support/models.py (base 32, depth 4, 3x256x256, 11 classes, untrained), {THREADS} threads, "
        f"{ROUNDS} rounds of {RUNS} runs in turns over all models and both runtimes, one session alive, medians."
        f" All tools: min/max over {IMAGES} images, uint8 activations, int8 weights per channel; quantseg at "
        f"effort fast. OpenVINO: float in float32, its latency hint, as many threads.{held}",
        {"Latency": (headers, rows)},
        ("openvino", "nncf") if any(runtime == OPENVINO for _, runtime in models.values()) else (),
        module="unet",
    )
    writing.write("unet" if amx else "unet_vnni", page, {"models": results})


if __name__ == "__main__":
    main()
