"""quantseg report: measurements of a quantised model as JSON, Markdown and one HTML page."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console, early_warnings
from quantseg.cli.making import make_report
from quantseg.cli.options import DATA_WORD, Json, Masks, with_making, with_recipe
from quantseg.cli.reference_reports import Shown, reference_reports

if TYPE_CHECKING:
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.refinement.options import Options
    from quantseg.report import Report


@with_recipe
@with_making
def report(
    source: "RecipeSource",
    options: "Options",
    model: Annotated[
        Path | None, typer.Argument(help="Float ONNX model. Default: the reference models.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help=f"{DATA_WORD} of images to judge on, with masks or without. Without a model: the folder that holds "
            "the reference models' data sets by name (camvid/, wbc/); default $QUANTSEG_DATA, else ./data.",
            metavar="DATA",
            show_default=False,
        ),
    ] = None,
    calib: Annotated[
        Path | None,
        typer.Option(
            help=f"{DATA_WORD} of images to calibrate on. Default: --data itself.", metavar="DATA", show_default=False
        ),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="A file of quantseg calibrate, in place of --calib.", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the reports.")] = Path("reports"),
    name: Annotated[str | None, typer.Option(help="Folder of this report. Default: the model's name.")] = None,
    images: Annotated[
        bool, typer.Option("--images/--no-images", "--pictures/--no-pictures", help="Show the images that differ most.")
    ] = True,
    masks: Masks = True,
    peer: Annotated[
        bool | None,
        typer.Option(
            "--peer/--no-peer",
            help="Stand onnxruntime's own quantizer beside. Default: for the reference models only.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of timing.")] = 5,
    json: Json = None,
) -> None:
    """Quantise a model, evaluate it on images, and write OUTPUT/NAME/ with report.json, report.md and index.html.

    Without a model: reports on all reference models, at --effort fast, compared with onnxruntime's quantizer.
    """
    from quantseg.errors import CalibrationError, DataError
    from quantseg.files import check_writable, write_json
    from quantseg.report import check_places, write_index

    _check(options, model, calib, calibration, name)
    beside = model is None if peer is None else peer
    if model is not None and data is None:
        raise DataError("no images: give a folder with --data")
    if beside and calibration is not None:
        raise CalibrationError("onnxruntime's quantizer calibrates on images; give --calib, not --calibration")
    check_places(output, None if model is None else name or model.stem)
    if json is not None:
        check_writable(json, taken=[] if model is None else [model])
    how = Shown(output, rounds, images, masks, beside)
    if model is None:
        made = reference_reports(source, options, how, data)
    else:
        made = [_one(output / (name or model.stem), (model, source), options, how, (data, calib, calibration))]
    console.written(*write_index(output))
    if json is not None:
        write_json(json, [report.to_json() for report in made])
        console.written(json)


def _check(
    options: "Options", model: Path | None, calib: Path | None, calibration: Path | None, name: str | None
) -> None:
    """Refuses contradictory flags before any file is read."""
    from quantseg.errors import CalibrationError, ModelError, OutputError

    if name is not None and name != Path(name).name:
        raise OutputError(f"--name {name!r}: is no plain folder name; choose the place with --output")
    if calibration is not None:
        options.effort_for(images=False, parameter="calib")
    if model is None:
        given = {"--calib": calib, "--calibration": calibration, "--name": name}
        if flags := [flag for flag, value in given.items() if value is not None]:
            raise ModelError(f"{flags[0]} belongs to one model, and none was given; name a model or leave it out")
    elif calib is not None and calibration is not None:
        raise CalibrationError("calibration was given twice; give either --calib or --calibration")


def _one(
    place: Path,
    model: "tuple[Path, RecipeSource]",
    options: "Options",
    how: "Shown",
    images: tuple[Path | None, Path | None, Path | None],
) -> "Report":
    """The report on one model. images: --data (to evaluate on), --calib (to calibrate on), --calibration (a file)."""
    from quantseg import api
    from quantseg.api import stages
    from quantseg.report import Reporting

    data, calib, calibration = images
    loaded = api.load(*model, data=data, options=options)
    if data is not None:
        early_warnings.say(loaded, data, options)
    if calibration is None:
        given = api.calibrate(loaded, calib or data, options=options)
    else:
        given = stages.with_file(loaded, calibration, options)
    told = Reporting(rounds=how.rounds, images=how.images, peer=how.peer)
    return make_report(place, given, replace(options, masks=how.masks), data, told)
