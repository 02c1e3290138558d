"""quantseg ship: from a model to a folder that is an app."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console, early_warnings
from quantseg.cli.data_words import calibrating
from quantseg.cli.flags import as_flags
from quantseg.cli.options import CalibrationData, Force, Model, SameData, with_making, with_recipe

if TYPE_CHECKING:
    from quantseg.quantization.float_model import FloatModel, RecipeSource
    from quantseg.refinement.options import Options
    from quantseg.shipping import App


@with_recipe
@with_making
def ship(
    model: Model,
    source: "RecipeSource",
    options: "Options",
    to: Annotated[Path, typer.Option("--to", help="Folder of the app.", show_default=False)],
    data: CalibrationData = None,
    calib: SameData = None,
    example: Annotated[
        Path | None, typer.Option(help="An image that the page shows first.", show_default=False)
    ] = None,
    about: Annotated[
        str | None,
        typer.Option(help="What pictures the model is for, in one line: the page begins with it.", show_default=False),
    ] = None,
    force: Force = False,
) -> None:
    """Write an app: a web page that works offline, the int8 model, programs for phones and desks, a model card.

    MODEL is a float model, which is quantised with --fold-preprocess and --fold-argmax, or an int8 model that was: it
    is taken as it is. Needs onnxruntime-web: quantseg web setup.
    """
    from quantseg import api, shipping
    from quantseg.api.shipping import example_png
    from quantseg.cli.making import command_line
    from quantseg.cli.outputs import Outputs
    from quantseg.errors import DataError
    from quantseg.runtimes import npm

    images = calibrating(data, calib)
    outputs = Outputs("ship", (model, example), (images,), force)
    shipping.check_folder(to, outputs.origin, force=force)
    told = shipping.checked_about(about)
    shown_first = None if example is None else example_png(example)
    npm.onnxruntime_web()  # whether it is there is told before minutes are spent
    if shipping.is_int8(model):
        _check_untouched(source, options, images)
        app = shipping.app_of_file(model, shipping.Story(about=told, command=command_line()), shown_first)
    elif images is None:
        raise DataError(f"{model}: a float model is quantised for the app; give calibration images with --data")
    else:
        app = made_app(api.load(model, source, data=images, options=options), images, options, to, shown_first, told)
    shipping.write_folder(app, to, outputs.origin)
    say(app, to)
    console.say(f"serve it: python -m http.server -d {to}, then open http://localhost:8000")


def made_app(
    loaded: "FloatModel", images: Path, options: "Options", to: Path, example: bytes | None, about: str | None
) -> "App":
    """The app of a float model, which is quantised for it; prints the verdict on its masks."""
    from quantseg import api
    from quantseg.api import stages as making
    from quantseg.api.shipping import APP_FOLD
    from quantseg.cli import judgement, stages
    from quantseg.cli.making import command_line
    from quantseg.shipping import app_of_result
    from quantseg.shipping.contents import MODEL
    from quantseg.shipping.story import story_of

    assert isinstance(loaded.source, Path)
    how, name = replace(options, fold=APP_FOLD), loaded.source.stem
    stages.plan(*stages.making(how), stages.EVALUATE)
    early_warnings.say(loaded, images, how)
    given = api.calibrate(loaded, images, options=how)
    made = making.fitted(making.folded(making.refined(given, how), how), how)
    verdict = judgement.judged(given, made, images, how, (loaded.source, to / MODEL))
    count = len(given.calibration.observations.images)
    story = story_of(made, effort=how.effort_for(images=True), images=count, verdict=verdict)
    return app_of_result(made, name, replace(story, about=about, command=command_line()), example)


def say(app: "App", to: Path) -> None:
    """Prints what was written, and which format there is not."""
    from quantseg.report import tables
    from quantseg.shipping.contents import MODEL

    sizes = {"model": len(app.files[MODEL]), "page and programs": app.own_bytes, "runtime": app.runtime_bytes}
    told = ", ".join(f"{what} {tables.megabytes(size)}" for what, size in sizes.items())
    for ending, reason in app.formats.refused.items():
        console.line(f"note: no {ending} file: {as_flags(reason)}")
    console.line(f"wrote {to}: {told}")


def _check_untouched(source: "RecipeSource", options: "Options", images: Path | None) -> None:
    """Refuses flags that say how a model is made or fed: an int8 model is taken as it is."""
    from quantseg.errors import PlanError
    from quantseg.refinement.how_made import made_by

    words = {"input": "--input-name", "output": "--output-name", "ignore_index": "--ignore-index"}
    told = [words.get(name, f"--{name}") for name, value in source.flags.items() if value is not None]
    told += ["--recipe"] * (source.file is not None) + ["--input"] * bool(source.inputs)
    told += [*made_by(options), *["data=…"] * (images is not None)]
    if told:
        raise PlanError(f"{told[0]} belongs to a float model, and this one is int8, taken as it is; leave it out")
