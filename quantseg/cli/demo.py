"""quantseg demo: calibrate, quantise and report with a model and images that need no download."""

from pathlib import Path
from typing import Annotated

import typer

from quantseg.cli import console, stages
from quantseg.cli.options import Force, Threads

IMAGES = 24


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for all that is made.")] = Path(
        "quantseg-demo"
    ),
    threads: Threads = None,
    app: Annotated[
        bool, typer.Option("--app", help="Make an app of the model in place of the report, and serve it.")
    ] = False,
    force: Force = False,
) -> None:
    """Draw synthetic blood smears, quantise a U-Net trained on such images, and report its agreement and speed."""
    from quantseg import api
    from quantseg.cli import demo_app
    from quantseg.cli.making import check_report, make_report
    from quantseg.cli.outputs import Outputs
    from quantseg.data.drawn_cells import write_cells
    from quantseg.errors import OutputError
    from quantseg.evaluation.reference_models import CALIBRATION_SEED, DEMO, VALIDATION_SEED, demo_model
    from quantseg.files import check_writable, write_bytes
    from quantseg.refinement.options import Options
    from quantseg.report import Reporting

    model, int8_model, place = (output / name for name in (f"{DEMO}.onnx", f"{DEMO}.int8.onnx", f"report/{DEMO}"))
    check_writable(model)
    content, outputs = demo_model().read_bytes(), Outputs("demo", force=force)
    if not force and _is_of_others(output, model, content):
        raise OutputError(f"{output}: holds files that are not the demo's; choose another folder, or give --force")
    if app:
        demo_app.run(output, threads, force=force)
        return
    Outputs("quantize", (demo_model(),), force=force).check_model(int8_model)
    check_report(place, outputs)
    options = Options(threads=threads or 0, track=console.track)
    stages.plan(stages.DRAW, stages.DRAW, *stages.making(options), *stages.MEASURE)
    write_bytes(model, content)
    for part, seed in (("calib", CALIBRATION_SEED), ("val", VALIDATION_SEED)):
        write_cells(output / part, IMAGES, seed=seed, track=console.track)
    console.say(f"{output}/calib, {output}/val: {IMAGES} blood smears each, with masks")
    given = api.calibrate(api.load(model), output / "calib", options=options)
    make_report(place, given, options, output / "val", Reporting(int8_model=int8_model), outputs)
    console.written(int8_model)
    console.say(f"\nThe same, by hand:\n  quantseg quantize {model} --data {output}/calib")
    console.say(f"  quantseg report {model} {int8_model} --data {output}/val")


def _is_of_others(folder: Path, model: Path, content: bytes) -> bool:
    """Whether there are files in the folder and not the demo's model among them, which it writes first."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    return not model.is_file() or model.read_bytes() != content
