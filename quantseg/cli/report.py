"""quantseg report: measurements of a quantised model as JSON, Markdown and one HTML page."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console, early_warnings
from quantseg.cli.making import check_index, check_report, command_line, make_report, show_report
from quantseg.cli.options import DATA_WORD, Force, Json, Masks, with_making, with_recipe
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
    quantised: Annotated[
        Path | None,
        typer.Argument(
            help="Its quantised model, by any tool: this file is judged, and none is made.",
            metavar="[INT8]",
            show_default=False,
        ),
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
            help=f"{DATA_WORD} of images to calibrate on. Default: --data itself. With INT8: those that it was "
            "calibrated on, if known.",
            metavar="DATA",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="A file of quantseg calibrate, in place of --calib.", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the reports.")] = Path("reports"),
    name: Annotated[
        str | None, typer.Option(help="Folder of this report. Default: the name of the model, or of INT8.")
    ] = None,
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
    openvino: Annotated[bool, typer.Option("--openvino", help="Stand NNCF in OpenVINO beside, too.")] = False,
    web: Annotated[bool, typer.Option("--web", help="Time in onnxruntime-web, too, as browsers run it.")] = False,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Stand classical methods beside, where there are masks.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of timing.")] = 5,
    force: Force = False,
    json: Json = None,
) -> None:
    """Quantise a model, or take INT8; judge it on images; write OUTPUT/NAME/: report.json, report.md and index.html.

    With INT8, the report judges that file as it is, whichever tool wrote it, and has all but what only a plan tells.
    Without a model: reports on all reference models, compared with onnxruntime's quantizer.
    """
    from quantseg.cli.outputs import Outputs
    from quantseg.errors import CalibrationError, DataError
    from quantseg.evaluation.classical import require_classical
    from quantseg.evaluation.reference_models import reference_models
    from quantseg.evaluation.tool_comparison import require_openvino, require_web
    from quantseg.report import write_index

    _check(options, model, calib, calibration, name)
    beside = model is None if peer is None else peer
    if model is not None and data is None:
        raise DataError("no images: give a folder with --data")
    if (beside or openvino) and calibration is not None:
        raise CalibrationError("other quantizers calibrate on images; give --calib, not --calibration")
    if openvino:
        require_openvino()
    if web:
        require_web()
    if baselines:
        require_classical()
    named = None if model is None else name or (quantised or model).stem
    outputs = Outputs("report", (model, quantised, calibration), (data, calib), force)
    check_index(output, outputs, reference_models() if named is None else (named,))
    if named is not None:
        check_report(output / named, outputs)
    outputs.check(json)
    how = Shown(output, rounds, images, masks, beside, openvino, web, baselines, outputs)
    parts = (data, calib, calibration)
    if model is None or named is None:
        made = reference_reports(source, options, how, data)
    elif quantised is None:
        made = [_one(output / named, (model, source), options, how, parts)]
    else:
        made = [_shipped(output / named, (model, quantised, source), options, how, parts)]
    console.written(*write_index(output))
    outputs.json(json, [report.to_json() for report in made])


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
    from quantseg.cli import stages as told

    data, calib, calibration = images
    made = told.making(options, images=calibration is None)
    told.plan(*made, *[told.PEER] * how.peer, *[told.NNCF] * how.openvino, *told.measuring(baselines=how.baselines))
    loaded = api.load(*model, data=data, options=options)
    if data is not None:
        early_warnings.say(loaded, data, options)
    if calibration is None:
        given = api.calibrate(loaded, calib or data, options=options)
    else:
        given = stages.with_file(loaded, calibration, options)
    return make_report(place, given, replace(options, masks=how.masks), data, how.reporting, how.outputs)


def _shipped(
    place: Path,
    models: "tuple[Path, Path, RecipeSource]",
    options: "Options",
    how: "Shown",
    images: tuple[Path | None, Path | None, Path | None],
) -> "Report":
    """The report on a quantised model's file. images: as of `_one`."""
    from quantseg.api import judging
    from quantseg.calibration.file import Calibration
    from quantseg.cli import stages
    from quantseg.evaluation.model_files import BesideFloat
    from quantseg.refinement.levels.passes import CALIBRATE

    data, calib, calibration = images
    both = BesideFloat.read(*models)
    known = calib if calibration is None else Calibration.read(calibration)
    measuring = replace(how.reporting, name=place.name, commands=(command_line(),))
    masked, calibrating = replace(options, masks=how.masks), [CALIBRATE] * (calib is not None)
    stages.plan(*calibrating, *stages.measuring(baselines=how.baselines))
    made = judging.judged(both, masked.judging(data), known, measuring, options)
    return show_report(made, place, measuring, how.outputs)
