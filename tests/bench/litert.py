"""LiteRT: every model as an int8 .tflite file, beside its float .tflite file and the portable int8 model.

    python -m tests.bench.litert [MODEL ...] [--images N] [--rounds N] [--without-speed]

Needs ai-edge-litert, and the models and images in ../shared, which are not part of this project.
"""

import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quantseg import api
from quantseg.errors import QuantSegError
from quantseg.evaluation.agreement import Evaluation, evaluate
from quantseg.mixed_precision.target_facts import FLOAT_OF_LITERT, LITERT
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.quantization.float_model import read_float_model
from quantseg.quantization.formats.litert import float_to_tflite
from quantseg.quantization.formats.litert.file import from_bytes
from quantseg.report import tables
from quantseg.runtimes import DEFAULT, RUNTIMES
from quantseg.runtimes.latency import Turns, benchmark
from quantseg.runtimes.litert import PACKAGE
from quantseg.simulation.simulating import LITERT as REFERENCE
from quantseg.simulation.simulating import XNNPACK
from tests.bench import contestants, writing
from tests.bench.contestants import FAST, THREADS, Subject

OPTIONS = replace(FAST, target=TargetOptions(LITERT))
CALIBRATION, VALIDATION = 16, 24
ROUNDS, RUNS = 7, 8
FLOAT, INT8 = "float", "int8"
GOALS = {"agreement": 0.003, "slower": 0.95, "mean": 1.3, "size": 0.30}
"""Most of the portable model's agreement lost; least speed of a model and of all; most of the float file's size."""


def measured(subject: Subject, folder: Path, turns: Turns | None) -> dict[str, Any]:
    """One model: whether it converts, agreement, sizes, latencies, and the simulator's integers beside the kernels'."""
    read = api.load(subject.path, subject.source, options=OPTIONS)
    whole = folder / "float.tflite"
    plain = read_float_model(subject.path, subject.source, fusing=FLOAT_OF_LITERT)
    whole.write_bytes(float_to_tflite(plain))
    made = api.quantize(read, subject.calibration, options=OPTIONS)
    assert made.tflite is not None
    path = made.save(folder / "int8.tflite")
    portable = subject.quantised().save(folder / "portable.onnx")
    found: dict[str, Any] = {
        "bytes": {
            "onnx": subject.path.stat().st_size,
            FLOAT: whole.stat().st_size,
            INT8: path.stat().st_size,
            "portable": portable.stat().st_size,
        },
        "agreement": {
            FLOAT: _judged(subject, whole).agreement,
            INT8: _judged(subject, path).agreement,
            "portable": _judged(subject, portable).agreement,
        },
        "nodes": {"integer": len(made.plan.quantised), "all": len(made.plan.nodes)},
        "operators": dict(Counter(operator.kind for operator in from_bytes(made.tflite, "int8").operators)),
        "simulated": {against: _simulated(subject, path, against) for against in (REFERENCE, XNNPACK)},
    }
    if turns is not None:
        real = {subject.model.input.name: subject.validation.load(0).tensor}
        models = {FLOAT: whole, INT8: path}
        timings = benchmark(models, dict.fromkeys(models, real), runtime=DEFAULT, threads=THREADS, turns=turns)
        found["milliseconds"] = {timing.name: timing.median_ms for timing in timings}
    return found


def _judged(subject: Subject, path: Path, runtime: str | None = None) -> Evaluation:
    """The masks of a file beside those of the float model in onnxruntime."""
    own = RUNTIMES[runtime or ("litert" if path.suffix == ".tflite" else DEFAULT.name)]
    with (
        closing(DEFAULT.open(subject.path, threads=THREADS, spinning=False)) as reference,
        closing(own.open(path, threads=THREADS, spinning=False)) as candidate,
    ):
        return evaluate(reference, candidate, subject.validation, subject.model.recipe)


def _simulated(subject: Subject, path: Path, against: str) -> dict[str, Any]:
    """The simulator's integer tensors beside LiteRT's, on one image; of those that differ, operator → values."""
    found = api.simulate(path, subject.validation, against=against, proof=False, options=replace(FAST, limit=1))
    judgement = found.found.judgement
    wrong = judgement.in_order(found.program, integer=True)
    values = Counter[str]()
    for one in wrong:
        values[one.op_type.removeprefix("litert.")] += one.values
    return {
        "tensors": len(judgement.integers),
        "equal": len(judgement.integers) - len(wrong),
        "values": judgement.values,
        "differing": dict(values),
        "largest": max((one.largest for one in wrong), default=0.0),
    }


def main() -> None:
    """Measures every model, or those that are named, and writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", help="default: all")
    parser.add_argument("--images", type=int, default=VALIDATION, help="most images to judge on")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds in which float and int8 take turns")
    parser.add_argument("--without-speed", action="store_true", help="times nothing")
    given = parser.parse_args()
    turns = None if given.without_speed else Turns(given.rounds, RUNS)
    results: dict[str, Any] = {}
    for name in given.models or contestants.names()[1:]:  # without the U-Net that nobody trained
        calibration = min(CALIBRATION, given.images)
        with (
            contestants.subject(name, calibration=calibration, validation=given.images) as one,
            tempfile.TemporaryDirectory() as folder,
        ):
            try:
                results[name] = measured(one, Path(folder), turns)
            except QuantSegError as error:
                results[name] = {"failed": str(error)}
        print(name, _line(results[name]), flush=True)
    page = writing.Page(
        "LiteRT: int8 .tflite files, written from the plan",
        f"`quantseg quantize --target litert`, effort fast, {CALIBRATION} images to calibrate. Agreement: mean IoU "
        f"with the float model's masks in onnxruntime over at most {given.images} other images (sinet: the same ten). "
        "Portable: the default int8 model in onnxruntime, made alike. Float: the same network as a float .tflite file. "
        f"Speed: LiteRT with XNNPACK, {THREADS} threads, median of float over median of int8, {given.rounds} "
        f"alternating rounds of {RUNS} runs, one interpreter alive. Size: of the int8 file over the float ONNX file.",
        {
            "Every model": (
                ("model", "agreement", "portable", "float", "size", "of float", "float ms", "int8 ms", "speed"),
                [_row(name, found) for name, found in results.items()],
            ),
            "Goals": (("goal", "reached"), _goals(results)),
            "Integers beside the simulator's, one image": (
                ("model", "reference kernels", "values", "XNNPACK's, each alone", "differing values by operator"),
                [_simulation_row(name, found) for name, found in results.items() if "failed" not in found],
            ),
        },
        (PACKAGE,),
    )
    writing.write("litert", page, {"models": results})


def _line(found: dict[str, Any]) -> str:
    if "failed" in found:
        return f"failed: {found['failed']}"
    agreement, simulated = found["agreement"], found["simulated"][REFERENCE]
    speed = _speed(found)
    return (
        f"agreement {100 * agreement[INT8]:.2f} (portable {100 * agreement['portable']:.2f}, float "
        f"{100 * agreement[FLOAT]:.2f}), size {found['bytes'][INT8] / found['bytes']['onnx']:.3f}, speed "
        f"{speed and round(speed, 2)}, integers {simulated['equal']} of {simulated['tensors']}"
    )


def _speed(found: dict[str, Any]) -> float | None:
    times = found.get("milliseconds")
    return None if times is None else float(times[FLOAT] / times[INT8])


def _row(name: str, found: dict[str, Any]) -> tables.Row:
    if "failed" in found:
        return (name, f"failed: {found['failed']}")
    agreement, sizes, times = found["agreement"], found["bytes"], found.get("milliseconds", {})
    speed = _speed(found)
    return (
        name,
        *(f"{100 * agreement[key]:.2f} %" for key in (INT8, "portable", FLOAT)),
        tables.megabytes(sizes[INT8]),
        tables.percent(sizes[INT8] / sizes["onnx"]),
        *(tables.milliseconds(times[key]) if times else None for key in (FLOAT, INT8)),
        None if speed is None else tables.ratio(speed),
    )


def _goals(results: dict[str, Any]) -> list[tables.Row]:
    done = {name: found for name, found in results.items() if "failed" not in found}
    lost = {n: f["agreement"]["portable"] - f["agreement"][INT8] for n, f in done.items()}
    speeds = {n: speed for n, f in done.items() if (speed := _speed(f)) is not None}
    sizes = {n: f["bytes"][INT8] / f["bytes"]["onnx"] for n, f in done.items()}
    exact = [n for n, f in done.items() if f["simulated"][REFERENCE]["equal"] == f["simulated"][REFERENCE]["tensors"]]
    rows: list[tables.Row] = [
        ("convert and run (15 of 17)", f"{len(done)} of {len(results)}"),
        ("agreement within 0.3 points of portable", _held(lost, lambda x: x <= GOALS["agreement"])),
        ("file at most 30 % of the float ONNX file", _held(sizes, lambda x: x <= GOALS["size"])),
        ("integers as the simulator's in the reference kernels (12)", f"{len(exact)} of {len(done)}"),
    ]
    if speeds:
        mean = float(np.exp(np.mean(np.log(list(speeds.values())))))
        rows += [
            ("not slower than float by more than 5 %", _held(speeds, lambda x: x >= GOALS["slower"])),
            ("geometric mean of the speed over float, at least 1.3x", tables.ratio(mean)),
        ]
    return rows


def _held(figures: dict[str, float], holds: Any) -> str:
    missed = [f"{name} ({figure:.3g})" for name, figure in figures.items() if not holds(figure)]
    return f"{len(figures) - len(missed)} of {len(figures)}" + (f"; not {', '.join(missed)}" if missed else "")


def _simulation_row(name: str, found: dict[str, Any]) -> tables.Row:
    own, other = found["simulated"][REFERENCE], found["simulated"][XNNPACK]
    values = ", ".join(f"{kind} {count:,}" for kind, count in sorted(other["differing"].items(), key=lambda i: -i[1]))
    counts = [f"{one['equal']} of {one['tensors']}" for one in (own, other)]
    return (
        name,
        counts[0],
        f"{own['values']:,}",
        counts[1],
        f"{values} (by {other['largest']:g})" if values else "none",
    )


if __name__ == "__main__":
    main()
