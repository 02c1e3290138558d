"""quantseg calibrate: run a model on images, choose ranges, and write them with the histograms to a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console, early_warnings, ending
from quantseg.cli.data_words import calibrating
from quantseg.cli.options import CalibrationData, Force, Json, SameData, with_calibration, with_recipe
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
    calib: SameData = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: MODEL.calibration.json beside the model.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Merge calibration files of one model.")] = False,
    force: Force = False,
    json: Json = None,
) -> None:
    """Observe a float model's tensors on images; write ranges, scales, zero-points and histograms to a file.

    The same command continues an interrupted run.
    """
    from quantseg.calibration import file as calibrations
    from quantseg.errors import CalibrationError, DataError
    from quantseg.files import check_writable, discard

    images = calibrating(data, calib)
    if merge and len(model) < 2:
        raise CalibrationError("--merge needs two calibration files or more")
    if not merge and len(model) != 1:
        raise CalibrationError(f"{len(model)} models were given; calibrate one at a time, or merge with --merge")
    if not merge and images is None:
        raise DataError("no images: give a folder with --data")
    target = output or (Path("merged.calibration.json") if merge else model[0].with_suffix(".calibration.json"))
    if json is not None:
        check_writable(json, taken=model)
    check_writable(target, taken=() if merge else model)
    places = [path for path in (target, json) if path is not None]
    owned = [path for path in places if path.exists() and not force]
    if merge or images is None:
        result = _merged(model, owned)
    else:
        result = _observed((model[0], source), images, options, target, owned)
    calibrations.write(result, target)
    discard(target.with_name(f"{target.name}.partial"))
    _show(result)
    if json is not None:
        calibrations.write(result, json)
    console.written(*places)


def _observed(
    model: "tuple[Path, RecipeSource]", data: Path, options: "Options", target: Path, owned: list[Path]
) -> "Calibration":
    """The calibration on images. owned: files that are there, and must be calibrations of this model and images."""
    from dataclasses import replace

    from quantseg import api
    from quantseg.cli.outputs import check_calibration

    partial = target.with_name(f"{target.name}.partial")
    ending.what_remains(lambda: printable(f"the same command continues from {partial}") if partial.exists() else None)
    loaded = api.load(*model, data=data, options=options)
    if owned:
        every = replace(options, limit=None).images(data)(loaded.recipe, loaded.inputs)
        check_calibration(owned, loaded.digest, frozenset(map(every.digest, range(len(every.names)))))
    early_warnings.say(loaded, data, options)
    return api.calibrate(loaded, data, partial=partial, options=options).calibration


def _merged(files: list[Path], owned: list[Path]) -> "Calibration":
    """The calibration on the images of all files. owned: as of `_observed`."""
    from quantseg.calibration import file as calibrations
    from quantseg.cli.outputs import check_calibration

    total = calibrations.read(files[0])
    for file in files[1:]:
        total = calibrations.merge(total, calibrations.read(file))
    check_calibration(owned, total.model, frozenset(image.digest for image in total.observations.images))
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
