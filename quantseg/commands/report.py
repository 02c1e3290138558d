"""quantseg report: the proof, as JSON, Markdown and one HTML page."""

import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.commands import console
from quantseg.commands.options import Format, Json, Masks, with_options, with_recipe

if TYPE_CHECKING:
    from quantseg.calibration import Calibration
    from quantseg.pipeline import CalibrationOptions, FloatModel, RecipeSource
    from quantseg.report import Report

REFERENCE_IMAGES = 32
"""Blood smears drawn to calibrate a reference model, and as many others to judge it."""


@dataclass(frozen=True)
class Wanted:
    """What every report of one command has in common."""

    options: "CalibrationOptions"
    qformat: str
    rounds: int
    pictures: bool
    masks: bool
    output: Path


@with_recipe
@with_options
def report(
    source: "RecipeSource",
    options: "CalibrationOptions",
    model: Annotated[
        Path | None, typer.Argument(help="Float ONNX model. Default: the reference models.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Images to judge on, with masks/ beside images/ or without.", show_default=False)
    ] = None,
    calib: Annotated[
        Path | None, typer.Option(help="Images to calibrate on. Default: --data itself.", show_default=False)
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
    qformat: Format = "qdq",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of timing.")] = 5,
    json: Json = None,
) -> None:
    """Quantise a model, judge it on images, and write OUTPUT/NAME/ with report.json, report.md and index.html."""
    from quantseg import pipeline
    from quantseg.errors import CalibrationError, DataError, OutputError
    from quantseg.files import check_writable, write_json
    from quantseg.report import write_index

    if name is not None and name != Path(name).name:
        raise OutputError(f"--name {name!r}: is no plain folder name; choose the place with --output")
    wanted = Wanted(options, qformat, rounds, pictures, masks, output)
    check_writable(output / "index.html")
    if json is not None:
        check_writable(json, taken=[] if model is None else [model])
    if model is None:
        made = _reference_reports(source, wanted)
    else:
        if data is None:
            raise DataError("no images: give a folder with --data")
        if calib is not None and calibration is not None:
            raise CalibrationError("calibration was given twice; give either --calib or --calibration")
        loaded = pipeline.read_float_model(model, source)
        if calibration is None:
            done = calibrated(loaded, calib or data, options)
        else:
            done = pipeline.read_calibration(calibration, loaded)
        made = [make_report(name or model.stem, loaded, data, done, wanted)]
    console.written(*write_index(output))
    if json is not None:
        write_json(json, [report.to_json() for report in made])
        console.written(json)


def calibrated(model: "FloatModel", folder: Path, options: "CalibrationOptions") -> "Calibration":
    """Calibrates on a folder of images, with a progress bar."""
    from quantseg import pipeline

    images = pipeline.open_data(folder, model, limit=options.limit)
    return pipeline.calibrate(model, images, options, track=console.track)


def make_report(
    name: str,
    model: "FloatModel",
    data: Path,
    calibration: "Calibration",
    wanted: Wanted,
    *,
    int8_model: Path | None = None,
) -> "Report":
    """Makes one report and writes it; the int8 model too, where a place for it is given."""
    from quantseg import graph, pipeline
    from quantseg.report import build_report, verdict, write_report

    options = wanted.options
    images = pipeline.open_data(data, model, limit=options.limit, masks=wanted.masks)
    table = pipeline.ranges_of(calibration, options)
    plan, quantised = pipeline.quantize(model, table, options.settings, qformat=wanted.qformat)
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        target = int8_model or Path(folder) / f"{name}.int8.onnx"
        graph.save(quantised, target)
        result = build_report(
            name,
            model,
            target,
            plan=plan,
            calibration=calibration,
            data=images,
            threads=options.threads or pipeline.default_threads(),
            rounds=wanted.rounds,
            pictures=wanted.pictures,
            settings={"calibrator": table.calibrator, "format": wanted.qformat},
            commands=(_command_line(),),
            track=console.track,
        )
    console.say(f"{name}: {verdict(result.summary)}")
    console.written(*write_report(result, wanted.output / name, pictures=wanted.pictures))
    return result


def _command_line() -> str:
    """The command as typed, but absolute paths without their folders, which say nothing to another reader."""
    words = (Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:])
    return shlex.join(["quantseg", *words])


def _reference_reports(source: "RecipeSource", wanted: Wanted) -> "list[Report]":
    """A report on every reference model, on blood smears that are drawn for it."""
    from quantseg import pipeline
    from quantseg.data.cells import write_cells
    from quantseg.references import CALIBRATION_SEED, VALIDATION_SEED, reference_models

    made = []
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        calib, val = Path(folder) / "calib", Path(folder) / "val"
        for part, seed in ((calib, CALIBRATION_SEED), (val, VALIDATION_SEED)):
            write_cells(part, REFERENCE_IMAGES, seed=seed, track=console.track)
        for name, path in reference_models().items():
            model = pipeline.read_float_model(path, source)
            made.append(make_report(name, model, val, calibrated(model, calib, wanted.options), wanted))
    return made
