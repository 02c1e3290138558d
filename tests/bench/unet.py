"""Latency of a U-Net with ConvTranspose: float, onnxruntime's quantizer, this tool in both formats.

python -m tests.bench.unet
"""

import tempfile
from dataclasses import asdict
from pathlib import Path

import onnx

from quantseg import graph, pipeline, tables
from quantseg.data.cells import write_cells
from quantseg.latency import benchmark
from quantseg.peers import quantize_with_onnxruntime
from quantseg.planning import QuantSettings
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.execution import summary
from tests.bench import writing
from tests.models import unet

PEER = "onnxruntime QDQ"
THREADS, ROUNDS, RUNS, IMAGES = 2, 9, 10, 8


def main() -> None:
    """Measures and writes the report."""
    runtime = RUNTIMES["onnxruntime"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        path = place / "float.onnx"
        onnx.save(unet(), path)
        write_cells(place / "data", IMAGES, seed=0, size=(256, 256))
        model = pipeline.read_float_model(path)
        images = pipeline.open_data(place / "data", model)
        tensors = [{model.input.name: images.load(i).tensor} for i in range(IMAGES)]
        models = {"float": path, PEER: place / "peer.onnx"}
        quantize_with_onnxruntime(path, models[PEER], tensors)
        table = pipeline.calibrate(
            model, images, pipeline.CalibrationOptions(calibrator="minmax", threads=THREADS)
        ).table
        for qformat, name in (("qdq", "quantseg QDQ"), ("qoperator", "quantseg QOp.")):
            models[name] = place / f"{qformat}.onnx"
            graph.save(pipeline.quantize(model, table, QuantSettings(), qformat=qformat)[1], models[name])
        timings = benchmark(
            models, runtime=runtime, threads=THREADS, feeds=dict.fromkeys(models, tensors[0]), rounds=ROUNDS, runs=RUNS
        )
        executed = {
            name: summary(runtime.executed(file, tensors[0], threads=THREADS, runs=RUNS))
            for name, file in models.items()
        }
    peer = next(t for t in timings if t.name == PEER)
    rows = [
        (
            t.name,
            tables.milliseconds(t.median_ms),
            tables.ratio(t.ratio),
            tables.ratio(peer.median_ms / t.median_ms),
            tables.megabytes(t.file_bytes),
            executed[t.name].float_conv_transposes,
            tables.percent(executed[t.name].convolution_share),
        )
        for t in timings
    ]
    headers = ("model", "median", "vs float", "vs peer", "file", "float ConvT", "time in conv")
    writing.write(
        "unet",
        "Latency of a U-Net with ConvTranspose",
        f"U-Net of tests/models.py (base 32, depth 4, 3x256x256, 11 classes), {THREADS} threads, {ROUNDS} rounds of "
        f"{RUNS} runs in turns, one session alive, medians. Both tools: min/max, uint8 activations, int8 weights per "
        "channel.",
        {"Latency": (headers, rows)},
        {"timings": [asdict(t) for t in timings], "executed": {n: asdict(s) for n, s in executed.items()}},
    )


if __name__ == "__main__":
    main()
