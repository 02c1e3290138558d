"""quantseg demo --app: the demo's model as an app, served on this machine."""

from pathlib import Path

from quantseg.cli import console, serving
from quantseg.cli.ship import made_app, say

IMAGES = 24
ABOUT = "Blood smears under a microscope, drawn by this program."
EXAMPLE = 3_000_008
"""Seed of the drawn image that the page shows first: one with cells of all kinds, not among those to calibrate on."""


def run(output: Path, threads: int | None, *, force: bool) -> None:
    """Quantises the demo's model on drawn images, ships it to OUTPUT/app, and serves that until Ctrl-C."""
    from quantseg import api, shipping
    from quantseg.api.shipping import png
    from quantseg.cli.outputs import Outputs
    from quantseg.data.drawn_cells import cell_image, write_cells
    from quantseg.evaluation.reference_models import CALIBRATION_SEED, DEMO, demo_model
    from quantseg.files import write_bytes
    from quantseg.refinement.options import Options
    from quantseg.runtimes import npm

    model, app = output / f"{DEMO}.onnx", output / "app"
    outputs = Outputs("ship", (demo_model(),), force=force)
    shipping.check_folder(app, outputs.origin, force=force)
    npm.onnxruntime_web()
    write_bytes(model, demo_model().read_bytes())
    write_cells(output / "calib", IMAGES, seed=CALIBRATION_SEED, track=console.track)
    options = Options(threads=threads or 0, track=console.track)
    made = made_app(api.load(model), output / "calib", options, app, png(cell_image(EXAMPLE)[0]), ABOUT)
    shipping.write_folder(made, app, outputs.origin)
    say(made, app)
    serving.serve(app)
