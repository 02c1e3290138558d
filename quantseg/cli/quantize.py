"""quantseg quantize: from a float model and images to an int8 model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console
from quantseg.cli.options import (
    FORMAT_HELP,
    CalibrationData,
    Effort,
    Json,
    Model,
    with_options,
    with_recipe,
    with_target,
)

if TYPE_CHECKING:
    from quantseg.mixed_precision.target import Aim
    from quantseg.pipeline import CalibrationOptions, RecipeSource


@with_recipe
@with_options
@with_target
def quantize(
    model: Model,
    source: "RecipeSource",
    options: "CalibrationOptions",
    aim: "Aim",
    data: CalibrationData = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A file of quantseg calibrate, in place of --data.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: MODEL.int8.onnx beside the model.")
    ] = None,
    qformat: Annotated[str | None, typer.Option("--format", help=f"{FORMAT_HELP} Default: the target's.")] = None,
    effort: Effort = None,
    seed: Annotated[int, typer.Option(min=0, help="Of --effort best.")] = 0,
    fold_preprocess: Annotated[
        bool,
        typer.Option("--fold-preprocess", help="Take uint8 images as they are, (N, H, W, RGB): no code in the app."),
    ] = False,
    fold_argmax: Annotated[
        bool, typer.Option("--fold-argmax", help="Give the classes themselves, uint8 (N, H, W), by the recipe's head.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and write no model.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every node of the plan.")] = False,
    json: Json = None,
) -> None:
    """Write an int8 model; say which nodes stay float and why. --json keeps the whole plan.

    With --target ort-cpu every part of the model is timed on this machine, in float and in integers, and computes where
    it is faster; then the finished model is timed against float.

    With --target openvino hard-swish, hard-sigmoid and PRelu stay float behind a convolution: OpenVINO fuses them.
    """
    from dataclasses import replace

    from quantseg import graph, pipeline
    from quantseg.cli import exactness, plans, verdict
    from quantseg.errors import CalibrationError, DataError
    from quantseg.files import check_writable, write_json
    from quantseg.mixed_precision import target as targets
    from quantseg.quantization.folding import Fold
    from quantseg.refinement import levels as efforts
    from quantseg.report import tables
    from quantseg.runtimes.latency import file_bytes

    if (data is None) == (calibration is None):
        raise DataError("give either images with --data or a calibration file with --calibration")
    wanted_effort = effort or (efforts.BALANCED if calibration is None else efforts.FAST)
    efforts.check(wanted_effort)
    if calibration is not None and wanted_effort != efforts.FAST:
        raise CalibrationError(f"--effort {effort} looks at images, a calibration file has none; give --data instead")
    if calibration is not None and aim.fusing is not None:
        raise CalibrationError(f"--target {aim.target} observes other tensors than a calibration file has; give --data")
    written_as = aim.qformat(qformat)
    target = output or model.with_suffix(".int8.onnx")
    if not dry_run:
        check_writable(target, taken=(model, calibration))
    if json is not None:
        check_writable(json, taken=(model, calibration, target))
    float_model = pipeline.read_float_model(model, source, fusing=aim.fusing)
    bench = targets.bench(aim, options.threads, console.track)
    settings = options.settings
    if calibration is not None:
        table = pipeline.ranges_of(pipeline.read_calibration(calibration, float_model), options)
        refined = efforts.reordered(efforts.Refined(float_model, table), settings)
        if effort is None:
            console.say("note: a calibration file has no images to look at, so --effort fast")
    else:
        assert data is not None
        images = pipeline.open_data(data, float_model, limit=options.limit)
        done = pipeline.calibrate(float_model, images, options, track=console.track)
        refined = efforts.refine(
            float_model,
            done,
            images,
            options,
            effort=wanted_effort,
            leave_float=not aim.int8_everywhere,
            seed=seed,
            track=console.track,
        )
    float_model, table, notes = refined.model, refined.table, refined.notes
    wanted = Fold(fold_preprocess, fold_argmax)
    float_model, table = pipeline.fold(float_model, table, wanted, settings)
    job = targets.Job(float_model, table, settings)
    made = job.portable(written_as) if bench is None else job.measured(bench, aim.wish)
    made = replace(made, plan=replace(made.plan, notes=(*notes, *made.plan.notes)))
    plans.show(made, verbose)
    sums = exactness.say(made.model)
    if wanted != Fold():
        taken, given = graph.signature(made.model)
        console.say(f"takes {', '.join(map(str, taken))}; gives {', '.join(map(str, given))}")
    result = made.to_json() | {"integer_sums": sums}
    if not dry_run:
        graph.save(made.model, target)
        before, after = file_bytes(model), file_bytes(target)
        console.say(f"{tables.megabytes(before)} → {tables.megabytes(after)}, {before / after:.1f} times smaller")
        console.written(target)
        if bench is not None and aim.timing:
            result |= verdict.timed(job, aim, bench, target, source)
    if json is not None:
        write_json(json, result)
        console.written(json)
