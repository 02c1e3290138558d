"""quantseg quantize: from a float model and images to an int8 model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantseg.cli import console, early_warnings
from quantseg.cli.options import CalibrationData, Json, Model, with_making, with_recipe

if TYPE_CHECKING:
    from quantseg.quantization.candidate import Candidate
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.quantization.writing import QuantizedModel
    from quantseg.refinement.options import Options


@with_recipe
@with_making
def quantize(
    model: Model,
    source: "RecipeSource",
    options: "Options",
    data: CalibrationData = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A file of quantseg calibrate, in place of --data.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: MODEL.int8.onnx beside the model.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and write no model.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every node of the plan.")] = False,
    json: Json = None,
) -> None:
    """Write an int8 model; say which nodes stay float and why. --json keeps the whole plan.

    With --target ort-cpu every part of the model is timed on this machine, in float and in integers, and computes where
    it is faster; then the finished model is timed against float.

    With --target openvino hard-swish, hard-sigmoid and PRelu stay float behind a convolution: OpenVINO fuses them.
    """
    from quantseg.api import stages
    from quantseg.cli import exactness, plans
    from quantseg.files import check_writable, write_json

    _check(data, calibration, options)
    target = output or model.with_suffix(".int8.onnx")
    if not dry_run:
        check_writable(target, taken=(model, calibration))
    if json is not None:
        check_writable(json, taken=(model, calibration, target))
    candidate = _candidate((model, source), options, data, calibration)
    made = stages.fitted(candidate, options)
    plans.show(made, verbose)
    sums = exactness.say(made.model)
    _say_folded(made, options)
    result = made.to_json() | {"integer_sums": sums}
    if not dry_run:
        result |= _written(made, candidate, options, (model, target), source)
    if json is not None:
        write_json(json, result)
        console.written(json)


def _check(data: Path | None, calibration: Path | None, options: "Options") -> None:
    """Refuses contradictory flags before any file is read."""
    from quantseg.errors import CalibrationError, DataError

    if (data is None) == (calibration is None):
        raise DataError("give either images with --data or a calibration file with --calibration")
    if data is None:
        options.effort_for(images=False)
        if options.target.fusing is not None:
            what = f"--target {options.target.target} observes other tensors than a calibration file has"
            raise CalibrationError(f"{what}; give --data")


def _candidate(
    model: "tuple[Path, RecipeSource]", options: "Options", data: Path | None, calibration: Path | None
) -> "Candidate":
    """The candidate: calibrated, refined at the effort level, preprocessing and head folded if asked for."""
    from quantseg import api
    from quantseg.api import stages

    loaded = api.load(*model, data=data, options=options)
    if calibration is None:
        assert data is not None
        early_warnings.say(loaded, data, options)
        given = api.calibrate(loaded, data, options=options)
    else:
        given = stages.with_file(loaded, calibration, options)
        if options.effort is None:
            console.say("note: a calibration file has no images to look at, so --effort fast")
    return stages.folded(stages.refined(given, options), options)


def _say_folded(made: "QuantizedModel", options: "Options") -> None:
    """Prints the inputs and outputs of a folded model."""
    from quantseg import graph
    from quantseg.quantization.folding import Fold

    if options.fold != Fold():
        inputs, outputs = graph.signature(made.model)
        console.line(f"takes {', '.join(map(str, inputs))}; gives {', '.join(map(str, outputs))}")


def _written(
    made: "QuantizedModel",
    candidate: "Candidate",
    options: "Options",
    paths: tuple[Path, Path],
    source: "RecipeSource",
) -> dict[str, Any]:
    """Writes the model, prints its size, and runs the speed-up check if the target requires it."""
    from quantseg.cli import verdict
    from quantseg.report import tables
    from quantseg.runtimes.latency import file_bytes

    model, target = paths
    made.save(target)
    before, after = file_bytes(model), file_bytes(target)
    console.say(f"{tables.megabytes(before)} → {tables.megabytes(after)}, {before / after:.1f} times smaller")
    console.written(target)
    return verdict.timed(candidate, options, paths, source) if options.target.is_timed else {}
