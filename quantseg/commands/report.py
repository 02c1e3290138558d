"""quantseg report: the proof, as JSON, Markdown and one HTML page."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.commands import console
from quantseg.commands.options import (
    Calibrator,
    Format,
    Json,
    Limit,
    Percentile,
    Threads,
    with_recipe,
    with_settings,
)

if TYPE_CHECKING:
    from quantseg.calibration import Calibration
    from quantseg.pipeline import CalibrationOptions, FloatModel, RecipeSource
    from quantseg.planning import QuantSettings
    from quantseg.report import Report

REFERENCE_IMAGES = 32
"""Blood smears drawn to calibrate a reference model, and as many others to judge it."""


@with_recipe
@with_settings
def report(
    source: "RecipeSource",
    settings: "QuantSettings",
    model: Annotated[
        Path | None,
        typer.Argument(help="Float ONNX model. Default: the reference models.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Images to judge on, with masks/ beside images/ or without.", show_default=False),
    ] = None,
    calib: Annotated[
        Path | None, typer.Option(help="Images to calibrate on. Default: --data itself.", show_default=False)
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A file of quantseg calibrate, in place of --calib.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the reports.")] = Path("reports"),
    name: Annotated[
        str | None, typer.Option(help="Folder of this report. Default: the model's name.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Show the images that differ most.")
    ] = True,
    calibrator: Calibrator = None,
    percentile: Percentile = None,
    qformat: Format = "qdq",
    limit: Limit = None,
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of timing.")] = 5,
    json: Json = None,
) -> None:
    """Quantise a model, judge it on images, and write OUTPUT/NAME/ with report.json, report.md and index.html."""
    import tempfile

    from quantseg import pipeline
    from quantseg.errors import DataError, QuantSegError
    from quantseg.files import check_writable, write_json
    from quantseg.report import write_index

    options = pipeline.CalibrationOptions(
        calibrator=calibrator or pipeline.DEFAULT_CALIBRATOR,
        percent=percentile,
        limit=limit,
        threads=threads or 0,
        settings=settings,
    )
    check_writable(output / "index.html")
    made: list[Report] = []
    if model is not None:
        if data is None:
            raise DataError("no images: give a folder with --data")
        if calib is not None and calibration is not None:
            raise QuantSegError("give either --calib or --calibration")
        loaded = pipeline.read_float_model(model, source)
        if calibration is not None:
            given: Path | Calibration = _kept(calibration, loaded)
        else:
            given = calib or data
        made.append(make(loaded, data, given, options, qformat, rounds, output, name or model.stem, pictures))
    else:
        from quantseg.data.cells import write_cells
        from quantseg.references import CALIBRATION_SEED, VALIDATION_SEED, reference_models

        with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
            for part, seed in (("calib", CALIBRATION_SEED), ("val", VALIDATION_SEED)):
                write_cells(Path(folder) / part, REFERENCE_IMAGES, seed=seed, track=console.track)
            for title, path in reference_models().items():
                loaded = pipeline.read_float_model(path, source)
                places = Path(folder) / "val", Path(folder) / "calib"
                made.append(make(loaded, *places, options, qformat, rounds, output, title, pictures))
    console.written(*write_index(output))
    if json is not None:
        write_json(json, [report.to_json() for report in made])
        console.written(json)


def make(
    model: "FloatModel", data: Path, calibration: "Path | Calibration", options: "CalibrationOptions", qformat: str,
    rounds: int, output: Path, name: str, pictures: bool, int8_model: Path | None = None,
) -> "Report":  # fmt: skip
    """Makes one report and writes it. calibration: images, or what was calibrated before."""
    import tempfile

    from quantseg import graph, pipeline
    from quantseg.report import build_report, verdict, write_report

    images = pipeline.open_data(data, model, limit=options.limit)
    if isinstance(calibration, Path):
        seen = "the images that it is judged on" if calibration == data else "other images"
        calibration_data = pipeline.open_data(calibration, model, limit=options.limit)
        done = pipeline.calibrate(model, calibration_data, options, track=console.track)
        table = done.table
    else:
        seen, done, table = (
            "a calibration file",
            calibration,
            pipeline.choose(calibration.observations, options),
        )
    plan, quantised = pipeline.quantize(model, table, options.settings, qformat=qformat)
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        target = int8_model or Path(folder) / f"{name}.int8.onnx"
        graph.save(quantised, target)
        result = build_report(
            name,
            model.path,
            target,
            plan=plan,
            histograms=done.observations.histograms,
            data=images,
            recipe=model.recipe,
            input_spec=model.input,
            threads=options.threads or pipeline.default_threads(),
            rounds=rounds,
            pictures=pictures,
            facts={
                "calibrated on": f"{len(done.observations.images)} images ({seen}), {table.calibrator}",
                "calibration data, SHA-256": done.data_digest,
                "judged on": f"{len(images.names)} images",
            },
            commands=(" ".join(["quantseg", *sys.argv[1:]]),),
            track=console.track,
        )
    console.say(f"{name}: {verdict(result.summary)}")
    console.written(*write_report(result, output / name, pictures=pictures))
    return result


def _kept(file: Path, model: "FloatModel") -> "Calibration":
    from quantseg import calibration as calibrations
    from quantseg import pipeline

    kept = calibrations.read(file)
    pipeline.check_belongs(kept, model, file)
    return kept
