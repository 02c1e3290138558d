"""quantseg report: the proof, as JSON, Markdown and one HTML page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console
from quantseg.cli.making import Judged, Wanted, make_report
from quantseg.cli.options import DATA_WORD, Effort, Format, Json, Masks, with_options, with_recipe
from quantseg.cli.reference_reports import reference_reports

if TYPE_CHECKING:
    from quantseg.pipeline import CalibrationOptions, RecipeSource


@with_recipe
@with_options
def report(
    source: "RecipeSource",
    options: "CalibrationOptions",
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
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Show the images that differ most.")
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
    qformat: Format = "qdq",
    effort: Effort = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of timing.")] = 5,
    json: Json = None,
) -> None:
    """Quantise a model, judge it on images, and write OUTPUT/NAME/ with report.json, report.md and index.html.

    Without a model, all reference models, at --effort fast, and a table of them beside onnxruntime's quantizer.
    """
    from quantseg import pipeline
    from quantseg.errors import CalibrationError, DataError, ModelError, OutputError
    from quantseg.files import check_writable, write_json
    from quantseg.refinement import levels as efforts
    from quantseg.report import write_index

    if name is not None and name != Path(name).name:
        raise OutputError(f"--name {name!r}: is no plain folder name; choose the place with --output")
    # Reference models stand beside onnxruntime's quantizer at like settings, and a file has no images to look at.
    default = efforts.FAST if model is None or calibration is not None else efforts.BALANCED
    efforts.check(effort or default)
    if calibration is not None and effort not in (None, efforts.FAST):
        raise CalibrationError(f"--effort {effort} looks at images, a calibration file has none; give --calib instead")
    beside = model is None if peer is None else peer
    wanted = Wanted(options, qformat, rounds, pictures, masks, output, beside, effort or default)
    check_writable(output / "index.html")
    if json is not None:
        check_writable(json, taken=[] if model is None else [model])
    if model is None:
        given = {"--calib": calib, "--calibration": calibration, "--name": name}
        if flags := [flag for flag, value in given.items() if value is not None]:
            raise ModelError(f"{flags[0]} belongs to one model, and none was given; name a model or leave it out")
        made = reference_reports(source, wanted, data)
    else:
        if data is None:
            raise DataError("no images: give a folder with --data")
        if calib is not None and calibration is not None:
            raise CalibrationError("calibration was given twice; give either --calib or --calibration")
        if wanted.peer and calibration is not None:
            raise CalibrationError("onnxruntime's quantizer calibrates on images; give --calib, not --calibration")
        loaded = pipeline.read_float_model(model, source)
        calibrating = None
        if calibration is None:
            calibrating = pipeline.open_data(calib or data, loaded, limit=options.limit)
            done = pipeline.calibrate(loaded, calibrating, options, track=console.track)
        else:
            done = pipeline.read_calibration(calibration, loaded)
        judged = Judged(pipeline.open_data(data, loaded, limit=options.limit, masks=masks))
        made = [make_report(name or model.stem, loaded, judged, done, wanted, calibrating=calibrating)]
    console.written(*write_index(output))
    if json is not None:
        write_json(json, [report.to_json() for report in made])
        console.written(json)
