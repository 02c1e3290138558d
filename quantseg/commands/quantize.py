"""quantseg quantize: from a float model and images to an int8 model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.commands import console
from quantseg.commands.options import CalibrationData, Format, Json, Model, with_options, with_recipe

if TYPE_CHECKING:
    from quantseg.pipeline import CalibrationOptions, RecipeSource
    from quantseg.planning import QuantPlan


@with_recipe
@with_options
def quantize(
    model: Model,
    source: "RecipeSource",
    options: "CalibrationOptions",
    data: CalibrationData = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A file of quantseg calibrate, in place of --data.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: MODEL.int8.onnx beside the model.")
    ] = None,
    qformat: Format = "qdq",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and write no model.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every node of the plan.")] = False,
    json: Json = None,
) -> None:
    """Write an int8 model; say which nodes stay float and why. --json keeps the whole plan."""
    from quantseg import graph, pipeline, tables
    from quantseg.errors import DataError
    from quantseg.files import check_writable, write_json
    from quantseg.latency import file_bytes

    if (data is None) == (calibration is None):
        raise DataError("give either images with --data or a calibration file with --calibration")
    target = output or model.with_suffix(".int8.onnx")
    if not dry_run:
        check_writable(target, taken=(model, calibration))
    if json is not None:
        check_writable(json, taken=(model, calibration, target))
    float_model = pipeline.read_float_model(model, source)
    if calibration is not None:
        done = pipeline.read_calibration(calibration, float_model)
    else:
        assert data is not None
        images = pipeline.open_data(data, float_model, limit=options.limit)
        done = pipeline.calibrate(float_model, images, options, track=console.track)
    table = pipeline.ranges_of(done, options)
    plan, quantised = pipeline.quantize(float_model, table, options.settings, qformat=qformat)
    _show(plan, verbose)
    if not dry_run:
        graph.save(quantised, target)
        before, after = file_bytes(model), file_bytes(target)
        console.say(f"{tables.megabytes(before)} → {tables.megabytes(after)}, {before / after:.1f} times smaller")
        console.written(target)
    if json is not None:
        write_json(json, plan.to_json())
        console.written(json)


def _show(plan: "QuantPlan", verbose: bool) -> None:
    from quantseg import tables
    from quantseg.planning import KeptFloat

    if verbose:
        rows = [
            (n.name, n.op_type, "float", n.decision.reason)
            if isinstance(n.decision, KeptFloat)
            else (n.name, n.op_type, "int8", n.decision.detail)
            for n in plan.nodes
        ]
        console.say(tables.terminal(("node", "operator", "computes in", "because"), rows) + "\n")
    kept = [(count, reason) for reason, count in plan.kept_float.items()]
    console.say(f"{len(plan.quantised)} of {len(plan.nodes)} nodes compute in integers")
    if kept:
        console.say("\n" + tables.terminal(("nodes", "stay float because"), kept))
    for note in plan.notes:
        console.say(f"note: {note}")
