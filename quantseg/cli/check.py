"""quantseg check: what the tool understands of a model and its images, and what is wrong with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console
from quantseg.cli.flags import as_flags
from quantseg.cli.options import DATA_WORD, FollowLinks, Force, Json, Model, Threads, Timeout, with_recipe
from quantseg.files.limits import RUN_SECONDS

if TYPE_CHECKING:
    from quantseg.evaluation.checking.values import Check, Guess
    from quantseg.quantization.float_model import RecipeSource


@with_recipe
def check(
    model: Model,
    source: "RecipeSource",
    data: Annotated[
        Path | None,
        typer.Option(
            help=f"{DATA_WORD} of images of the model's kind; a few are looked at. With masks where there are some.",
            metavar="DATA",
            show_default=False,
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Masks, in place of those beside the images.", metavar="FOLDER", show_default=False),
    ] = None,
    calib: Annotated[
        Path | None,
        typer.Option(
            help=f"{DATA_WORD} of images to calibrate on: are those of --data among them?",
            metavar="DATA",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the recipe to use there (TOML), for --recipe.", show_default=False),
    ] = None,
    threads: Threads = None,
    timeout: Timeout = RUN_SECONDS,
    follow_links: FollowLinks = False,
    force: Force = False,
    json: Json = None,
) -> None:
    """Say in seconds what is understood of a model and its images, what is wrong, and which preprocessing fits.

    Other commands take the recipe that is printed: --output writes it, --recipe reads it. Nothing is changed.
    """
    from quantseg import api
    from quantseg.cli.outputs import Outputs
    from quantseg.errors import DataError
    from quantseg.evaluation.checking.values import compact
    from quantseg.refinement.options import Options

    if data is None and (masks is not None or calib is not None):
        raise DataError(f"--{'masks' if masks is not None else 'calib'} belongs to images; give them with --data")
    outputs = Outputs("check", (model,), (data, calib, masks), force)
    outputs.check(output, json)
    options = Options(follow_links=follow_links, threads=threads or 0, timeout=timeout)
    found = api.check(model, data, recipe=source, masks=masks, calib=calib, options=options)
    _show(found, output)
    if output is not None:
        outputs.toml(output, f"{compact(found.to_use)}\n")
    outputs.json(json, found.to_json())


def _show(found: "Check", output: Path | None) -> None:
    """Prints what is wrong, what was understood, and the recipe that fits best, where that is another one.

    output: the file that gets this recipe.
    """
    for finding in found.findings:
        console.line(as_flags(str(finding)))
    if not found.findings:
        console.say("nothing wrong was seen" if found.data is not None else "give images with --data to check more")
    from quantseg.evaluation.checking.values import compact

    console.say()
    rows = found.rows()
    width = max(len(heading) for heading, _ in rows)
    for heading, text in rows:
        console.line(f"{heading:<{width}}  {text}")
    if found.guess is not None:
        _show_guess(found.guess)
    if not found.declared or found.to_use != found.recipe or found.findings_of("size-open"):
        console.say(f"\nRecipe to use:\n\n{compact(found.to_use)}")
        if output is None:
            console.say("--output recipe.toml writes it to a file; other commands take that with --recipe recipe.toml")


def _show_guess(guess: "Guess") -> None:
    console.say()
    console.line(f"fits best{'' if guess.sure else ', not for sure'}: {guess.family}")
    for line in guess.evidence:
        console.line(f"  {line}")
    if guess.rivals:
        console.line(f"  nearly as well: {'; '.join(guess.rivals)}")
