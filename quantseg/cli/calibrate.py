"""quantseg calibrate: run a model on images, choose ranges, and write them with the histograms to a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console, early_warnings, ending
from quantseg.cli.options import CalibrationData, Json, with_calibration, with_recipe
from quantseg.errors import printable

if TYPE_CHECKING:
    from quantseg.calibration.file import Calibration
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.refinement.options import Options


@with_recipe
@with_calibration
def calibrate(
    model: Annotated[
        list[Path],
        typer.Argument(help="The float ONNX model; with --merge, calibration files.", show_default=False),
    ],
    source: "RecipeSource",
    options: "Options",
    data: CalibrationData = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: MODEL.calibration.json beside the model.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Merge calibration files of one model.")] = False,
    json: Json = None,
) -> None:
    """Observe a float model's tensors on images; write ranges, scales, zero-points and histograms to a file.

    The same command continues an interrupted run.
    """
    from quantseg.calibration import file as calibrations
    from quantseg.errors import CalibrationError, DataError
    from quantseg.files import check_writable, discard

    if json is not None:
        check_writable(json, taken=model)
    if merge:
        target = output or Path("merged.calibration.json")
        if len(model) < 2:
            raise CalibrationError("--merge needs two calibration files or more")
        check_writable(target)
        result = _merged(model)
    else:
        if len(model) != 1:
            raise CalibrationError(f"{len(model)} models were given; calibrate one at a time, or merge with --merge")
        if data is None:
            raise DataError("no images: give a folder with --data")
        target = output or model[0].with_suffix(".calibration.json")
        check_writable(target, taken=model)
        result = _observed(model[0], data, source, options, target)
    calibrations.write(result, target)
    discard(target.with_name(f"{target.name}.partial"))
    _show(result)
    if json is not None:
        calibrations.write(result, json)
    console.written(*(path for path in (target, json) if path is not None))


def _observed(model: Path, data: Path, source: "RecipeSource", options: "Options", target: Path) -> "Calibration":
    from quantseg import api

    partial = target.with_name(f"{target.name}.partial")
    ending.what_remains(lambda: printable(f"the same command continues from {partial}") if partial.exists() else None)
    loaded = api.load(model, source, data=data, options=options)
    early_warnings.say(loaded, data, options)
    return api.calibrate(loaded, data, partial=partial, options=options).calibration


def _merged(files: list[Path]) -> "Calibration":
    from quantseg.calibration import file as calibrations

    total = calibrations.read(files[0])
    for file in files[1:]:
        total = calibrations.merge(total, calibrations.read(file))
    return total


def _show(result: "Calibration") -> None:
    from quantseg.quantization.affine import params_from_range
    from quantseg.report import tables

    table = result.table
    rows = []
    for name, span in table.ranges.items():
        params = params_from_range(span, table.qtype, symmetric=table.symmetric)
        scale, zero = f"{float(params.scale):.6g}", int(params.zero_point)
        rows.append((name, tables.real(span.minimum), tables.real(span.maximum), scale, zero))
    console.say(tables.terminal(("tensor", "minimum", "maximum", "scale", "zero-point"), rows))
    images = len(result.observations.images)
    console.say(f"\n{len(rows)} tensors over {images} images, {table.calibrator}, {table.qtype.name}")
