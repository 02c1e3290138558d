"""quantseg quantize: from a float model and images to an int8 model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantseg.cli import console, early_warnings
from quantseg.cli.data_words import calibrating
from quantseg.cli.options import CalibrationData, Force, Json, Model, SameData, with_making, with_recipe

if TYPE_CHECKING:
    from quantseg.calibration.calibrate import Calibrated
    from quantseg.quantization.candidate import Candidate
    from quantseg.quantization.float_model import FloatModel, RecipeSource
    from quantseg.quantization.writing import QuantizedModel
    from quantseg.refinement.options import Options


@with_recipe
@with_making
def quantize(
    model: Model,
    source: "RecipeSource",
    options: "Options",
    data: CalibrationData = None,
    calib: SameData = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A file of quantseg calibrate, in place of --data.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: MODEL.int8.onnx (or .tflite) beside the model.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only plan, in seconds: what stays float, size, speed, time.")
    ] = False,
    allow_no_gain: Annotated[
        bool, typer.Option("--allow-no-gain", help="Also write a model that is neither smaller nor faster than float.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every node of the plan.")] = False,
    force: Force = False,
    json: Json = None,
) -> None:
    """Write an int8 model; say which nodes stay float and why. --json keeps the whole plan.

    With --target ort-cpu every part of the model is timed on this machine, in float and in integers, and computes where
    it is faster; then the finished model is timed against float.

    With --target ort-web the same is done in onnxruntime-web, the runtime of browsers, in node; where that is not
    installed, a table of its kernels stands in. Where nothing is faster than float, only weights are stored as int8.

    With --target openvino hard-swish, hard-sigmoid and PRelu stay float behind a convolution: OpenVINO fuses them.

    With --target litert a .tflite file is written, for LiteRT on phones.
    """
    from quantseg.cli import stages
    from quantseg.cli.dry_run import dry_run as tried
    from quantseg.cli.outputs import Outputs
    from quantseg.runtimes.on_disk import file_bytes

    images = calibrating(data, calib)
    _check(images, calibration, options)
    if not dry_run:
        judged = [stages.EVALUATE] * (images is not None)
        timed = (stages.MEMORY, stages.TIME) if options.target.is_timed else ()
        stages.plan(*stages.making(options, images=images is not None), *judged, *timed)
    target = _target(model, output, options)
    outputs = Outputs("quantize", (model, calibration), (images,), force)
    if not dry_run:
        outputs.check_model(target)
    outputs.check(json, taken=[target])
    given = _given((model, source), options, images, calibration)
    if dry_run:
        result = tried(given, images, options, file_bytes(model), verbose=verbose)
    else:
        result = _quantised(
            given, images, options, (model, target), source, verbose=verbose, allow_no_gain=allow_no_gain
        )
    outputs.json(json, result)


def _target(model: Path, output: Path | None, options: "Options") -> Path:
    """The file to write. Raises OutputError for an ending that the target does not write."""
    from quantseg.errors import OutputError
    from quantseg.files.tflite import SUFFIX
    from quantseg.mixed_precision.target_facts import LITERT

    is_tflite = options.target.target == LITERT
    if output is not None and is_tflite != (output.suffix == SUFFIX):
        what = f"--target {options.target.target} writes {'a .tflite' if is_tflite else 'an ONNX'} file"
        raise OutputError(f"{output}: {what}; give a name that ends in {SUFFIX if is_tflite else '.onnx'}")
    return output or model.with_suffix(f".int8{SUFFIX if is_tflite else '.onnx'}")


def _check(data: Path | None, calibration: Path | None, options: "Options") -> None:
    """Refuses contradictory flags before any file is read."""
    from quantseg.errors import CalibrationError, DataError

    if (data is None) == (calibration is None):
        raise DataError("give either images with --data or a calibration file with --calibration")
    if data is None:
        options.effort_for(images=False)
        if options.target.observes_others:
            what = f"--target {options.target.target} observes other tensors than a calibration file has"
            raise CalibrationError(f"{what}; give --data")


def _given(
    model: "tuple[Path, RecipeSource]", options: "Options", data: Path | None, calibration: Path | None
) -> "FloatModel | Calibrated":
    """The float model; with a calibration file also its ranges."""
    from quantseg import api
    from quantseg.api import stages

    loaded = api.load(*model, data=data, options=options)
    if calibration is None:
        assert data is not None
        early_warnings.say(loaded, data, options)
        return loaded
    given = stages.with_file(loaded, calibration, options)
    if options.effort is None:
        console.say("note: a calibration file has no images to look at, so --effort fast")
    return given


def _quantised(
    given: "FloatModel | Calibrated",
    data: Path | None,
    options: "Options",
    paths: tuple[Path, Path],
    source: "RecipeSource",
    *,
    verbose: bool,
    allow_no_gain: bool,
) -> dict[str, Any]:
    """Makes the model, prints the verdict and the plan, and writes it; all that was said as JSON values."""
    from quantseg import api
    from quantseg.api import stages
    from quantseg.calibration.calibrate import Calibrated
    from quantseg.cli import exactness, judgement, plans

    calibrated = given if isinstance(given, Calibrated) else api.calibrate(given, data, options=options)
    candidate = stages.folded(stages.refined(calibrated, options), options)
    made = stages.fitted(candidate, options)
    if not allow_no_gain:
        _refuse_no_gain(made, paths[0], options)
    verdict = judgement.judged(calibrated, made, data, options, paths)
    plans.show(made, verbose)
    sums = exactness.say(made.model) if made.tflite is None else None
    _say_folded(made, options)
    said = {"verdict": verdict} | made.to_json() | {"integer_sums": sums}
    return said | _written(made, candidate, options, paths, source)


def _refuse_no_gain(made: "QuantizedModel", model: Path, options: "Options") -> None:
    """Raises PlanError where the int8 model is neither smaller nor, by fixed rates, faster than the float one."""
    from quantseg.errors import PlanError
    from quantseg.refinement.gain import slowdown_without_gain
    from quantseg.report import tables
    from quantseg.runtimes.on_disk import file_bytes

    before = file_bytes(model)
    slower = slowdown_without_gain(made, before, options.target)
    if slower is not None:
        sizes = f"{tables.file_size(before)} would become {tables.file_size(made.size)}"
        raise PlanError(
            f"{model}: too small to gain from int8: {sizes}, and about {slower:.1f} times float's latency; "
            "keep the float model, or give --allow-no-gain"
        )


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
    from quantseg.runtimes.on_disk import file_bytes

    model, target = paths
    made.save(target)
    before, after = file_bytes(model), file_bytes(target)
    console.say(f"{tables.megabytes(before)} → {tables.megabytes(after)}, {tables.size_words(before / after)}")
    console.written(target)
    return verdict.timed(candidate, options, paths, source) if options.target.is_timed else {}
