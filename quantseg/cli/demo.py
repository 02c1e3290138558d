"""quantseg demo: calibrate, quantise and report with a model and images that need no download."""

from pathlib import Path
from typing import Annotated

import typer

from quantseg.cli import console
from quantseg.cli.options import Threads

IMAGES = 24


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for all that is made.")] = Path(
        "quantseg-demo"
    ),
    threads: Threads = None,
) -> None:
    """Draw synthetic blood smears, quantise a U-Net trained on such images, and report its agreement and speed."""
    from quantseg import api
    from quantseg.cli.making import make_report
    from quantseg.data.drawn_cells import write_cells
    from quantseg.evaluation.reference_models import CALIBRATION_SEED, DEMO, VALIDATION_SEED, demo_model
    from quantseg.files import check_writable, write_bytes
    from quantseg.refinement.options import Options
    from quantseg.report import Reporting

    model = output / f"{DEMO}.onnx"
    check_writable(model)
    for part, seed in (("calib", CALIBRATION_SEED), ("val", VALIDATION_SEED)):
        write_cells(output / part, IMAGES, seed=seed, track=console.track)
    console.say(f"{output}/calib, {output}/val: {IMAGES} blood smears each, with masks")
    write_bytes(model, demo_model().read_bytes())
    options = Options(threads=threads or 0, track=console.track)
    given = api.calibrate(api.load(model), output / "calib", options=options)
    int8_model = output / f"{DEMO}.int8.onnx"
    make_report(output / "report" / DEMO, given, options, output / "val", Reporting(int8_model=int8_model))
    console.written(int8_model)
    console.say(f"\nThe same, by hand:\n  quantseg quantize {model} --data {output}/calib")
    console.say(f"  quantseg report {model} --data {output}/val --calib {output}/calib")
