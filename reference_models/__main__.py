"""Command line: `python -m reference_models train unet --data camvid/`. Mendable errors are one line, exit code 2."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from quantseg.cli import console
from quantseg.errors import QuantSegError
from reference_models import WEIGHTS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _flag(text: str, panel: str = "Training (default: as reference_models/zoo.py says)") -> Any:
    return typer.Option(help=text, show_default=False, rich_help_panel=panel)


_OWN = "Data of your own (default: the data set of the model)"


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A model of the table, e.g. unet.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the images; cells need none, they are drawn.", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for NAME.onnx, .json, .png and .pt.")] = Path(
        "runs"
    ),
    epochs: Annotated[int | None, _flag("Passes over the images.")] = None,
    batch: Annotated[int | None, _flag("Images of one step, 2 or more.")] = None,
    loss: Annotated[str | None, _flag("cross-entropy, bce, dice, jaccard, or a sum: bce+dice.")] = None,
    class_weights: Annotated[bool | None, _flag("Whether rare classes weigh more.")] = None,
    learning_rate: Annotated[float | None, _flag("Highest learning rate.")] = None,
    weight_decay: Annotated[float | None, _flag("Of AdamW.")] = None,
    schedule: Annotated[str | None, _flag("one-cycle or poly.")] = None,
    crop: Annotated[str | None, _flag("HEIGHTxWIDTH of random crops.")] = None,
    augment: Annotated[bool | None, _flag("Whether images are changed at random.")] = None,
    precision: Annotated[str | None, _flag("float32 or bfloat16.")] = None,
    dataset: Annotated[str | None, _flag("Layout: images, voc, cityscapes, coco, binary, …", _OWN)] = None,
    size: Annotated[str | None, _flag("HEIGHTxWIDTH of the model's input.", _OWN)] = None,
    classes: Annotated[str | None, _flag("Names of the classes: sky,road,car.", _OWN)] = None,
    ignore_index: Annotated[int | None, _flag("Id of pixels that count nowhere.", _OWN)] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same losses.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Losses depend on it in their last digits.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUTPUT/NAME.pt.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu or cuda. Default: cuda where there is one.")] = None,
) -> None:
    """Train a network, export the weights of its best epoch to ONNX, and draw the curve."""
    from reference_models.cards import accuracy
    from reference_models.making import make
    from reference_models.wanted import Wanted

    settings = {
        "epochs": epochs,
        "batch": batch,
        "loss": loss,
        "class_weights": class_weights,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "crop": crop,
        "augment": augment,
        "precision": precision,
    }
    theirs = {"dataset": dataset, "size": size, "classes": classes, "ignore_index": ignore_index}
    given, own = ({key: v for key, v in flags.items() if v is not None} for flags in (settings, theirs))
    wanted = Wanted(given, own, seed, threads, resume, device)
    card = make(name, data, output, wanted, track=console.track)
    console.written(*(output / f"{name}{suffix}" for suffix in (".onnx", ".json", ".png", ".pt")))
    console.say(f"{name}: validation {accuracy(card)}, {card['parameters']:,} parameters")


@app.command()
def table(
    folder: Annotated[Path, typer.Argument(help="Folder of trained models and their cards.")] = WEIGHTS,
) -> None:
    """Print the models of a folder as Markdown: sizes, accuracy, and how each was trained."""
    from reference_models.cards import markdown, read_cards

    console.say(markdown(read_cards(folder)))


def main() -> None:
    """Entry point of `python -m reference_models`."""
    try:
        app(prog_name="python -m reference_models")
    except QuantSegError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
