"""quantseg benchmark: compare the latency of models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console, stages
from quantseg.cli.options import Force, Json, Threads, Timeout, with_recipe
from quantseg.files.limits import RUN_SECONDS

if TYPE_CHECKING:
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.runtimes.latency import Timings


@with_recipe
def benchmark(
    models: Annotated[
        list[Path], typer.Argument(help="ONNX or .tflite models; ratios are to the first.", show_default=False)
    ],
    source: "RecipeSource",
    threads: Threads = None,
    timeout: Timeout = RUN_SECONDS,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; models take turns in each.")] = 5,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each model in a round.")] = 10,
    runtime: Annotated[
        str,
        typer.Option(
            help="onnxruntime, onnxruntime-web (quantseg web setup); extras: openvino, litert, litert-reference."
        ),
    ] = "onnxruntime",
    force: Force = False,
    json: Json = None,
) -> None:
    """Time models in turns, with one session open at a time: median, spread, ratio, memory and file size."""
    from dataclasses import asdict, replace

    from quantseg import api
    from quantseg.cli import exactness
    from quantseg.cli.outputs import Outputs
    from quantseg.errors import ModelError
    from quantseg.refinement.options import Options
    from quantseg.runtimes import runtime_named
    from quantseg.runtimes.provenance import provenance

    engine = runtime_named(runtime)
    outputs = Outputs("benchmark", tuple(models), force=force)
    outputs.check(json)
    named = {str(path): path for path in models}
    if len(named) < len(models):
        raise ModelError("a model was given twice; give each one once")
    version = engine.version
    stages.plan(stages.MEMORY, stages.TIME)
    options = Options(threads=threads or 0, timeout=timeout, track=console.track)
    timings = api.benchmark(named, recipe=source, runtime=runtime, options=options, rounds=rounds, runs=runs)
    count = options.context().threads
    _show(timings)
    here = provenance()
    machine = replace(here, packages={**here.packages, runtime: version})
    console.say(f"\nrounds: {rounds}, runs in each: {runs}, threads: {count}; {machine.processor}; {runtime} {version}")
    sums = {name: exactness.say(path, path.name) for name, path in named.items() if path.suffix != ".xml"}
    how = {"runtime": runtime, "threads": count, "integer_sums": sums}
    outputs.json(json, how | {"timings": [asdict(t) for t in timings], "machine": machine.to_json()})


def _show(timings: "Timings") -> None:
    """One row a model."""
    from quantseg.report import tables

    rows = [
        (
            t.name,
            tables.milliseconds(t.median_ms),
            tables.milliseconds(t.minimum_ms),
            f"{t.p10_ms:.1f} … {t.p90_ms:.1f}",
            tables.ratio(t.ratio),
            tables.megabytes(t.file_bytes),
            tables.megabytes(t.peak_memory_bytes),
        )
        for t in timings
    ]
    headers = ("model", "median", "minimum", "p10 … p90 ms", "speed", "file", "memory")
    console.say(tables.terminal(headers, rows))
