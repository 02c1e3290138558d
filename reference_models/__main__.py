"""Command line: `python -m reference_models train cells_unet --epochs 18 --seed 0`."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from reference_models import WEIGHTS

T = TypeVar("T")


def _bar(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, description=what, total=total, console=console, disable=not console.is_terminal)


def _train(options: argparse.Namespace) -> None:
    import torch

    from quantseg.files import check_writable, write_json
    from reference_models.architectures import ARCHITECTURES
    from reference_models.export import export, multiply_accumulates, parameters
    from reference_models.train import STEPS_PER_EPOCH, train, validate

    name, seed, epochs = options.architecture, options.seed, options.epochs
    if name not in ARCHITECTURES:
        raise SystemExit(f"{name}: unknown architecture; choose from {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[name]
    output = options.output or WEIGHTS / f"{name}.onnx"
    check_writable(output)
    torch.set_num_threads(options.threads)
    network, losses = train(architecture, steps=epochs * STEPS_PER_EPOCH, seed=seed, track=_bar)
    scores = validate(network, architecture, track=_bar)
    export(network, architecture, output)
    card = {
        "architecture": name,
        "parameters": parameters(network),
        "multiply_accumulates": multiply_accumulates(network, architecture.size),
        "validation_mean_iou": scores.mean_iou(),
        "validation_iou": dict(zip(architecture.recipe.output.classes, scores.iou(), strict=True)),
        "last_loss": losses[-1],
        "command": f"python -m reference_models train {name} --epochs {epochs} --seed {seed}",
        "seed": seed,
        "torch": torch.__version__,
    }
    write_json(output.with_suffix(".json"), card)
    print(f"{output}: mean IoU {card['validation_mean_iou']:.4f}, {card['parameters']:,} parameters")


def main() -> None:
    """Parses the command line and trains."""
    parser = argparse.ArgumentParser(prog="python -m reference_models")
    command = parser.add_subparsers(required=True, metavar="COMMAND")
    training = command.add_parser("train", help="train a network and export it to ONNX (needs torch)")
    training.add_argument("architecture", help="a row of reference_models/architectures.py, e.g. cells_unet")
    training.add_argument("--epochs", type=int, default=18)
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--threads", type=int, default=1, help="losses depend on it in their last digits")
    training.add_argument("--output", type=Path, help="ONNX file, its .json card beside it (default: weights/)")
    _train(parser.parse_args())


if __name__ == "__main__":
    main()
