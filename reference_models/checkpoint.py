"""The state of a training, so that it can be interrupted: after every epoch one file, written whole or not at all."""

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from quantseg.errors import DataError
from quantseg.files import write_bytes

_FORMAT = 2


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to. loss: mean over its steps. score: mean IoU, of instances the mean average precision of
    masks, on the images that training never sees. seconds: of the processor.
    """

    loss: float
    score: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Progress:
    """All that training needs to go on after an epoch. best: weights of the epoch with the best score."""

    weights: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    best: dict[str, Any]
    epochs: tuple[Epoch, ...] = ()


def save(path: Path, name: str, settings: dict[str, Any], progress: Progress) -> None:
    """Writes a checkpoint. Raises OutputError where that cannot be done."""
    buffer = io.BytesIO()
    torch.save(
        {
            "format": _FORMAT,
            "architecture": name,
            "settings": settings,
            "weights": progress.weights,
            "optimizer": progress.optimizer,
            "schedule": progress.schedule,
            "best": progress.best,
            "epochs": [asdict(epoch) for epoch in progress.epochs],
        },
        buffer,
    )
    write_bytes(path, buffer.getvalue())


def load(path: Path, name: str, settings: dict[str, Any]) -> Progress:
    """Reads a checkpoint of the same architecture and settings; it is unpickled to tensors and plain values only.

    Raises DataError where it is missing, damaged, of another architecture or was trained otherwise.
    """
    if not path.is_file():
        raise DataError(f"{path}: no checkpoint there; train without --resume first")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        if found["format"] != _FORMAT:
            raise DataError(f"{path}: checkpoint of format {found['format']}, not {_FORMAT}; train anew")
        theirs, other = found["settings"], found["architecture"]
        progress = Progress(
            *(found[key] for key in ("weights", "optimizer", "schedule", "best")),
            epochs=tuple(Epoch(**epoch) for epoch in found["epochs"]),
        )
        if not isinstance(theirs, dict) or not progress.epochs:
            raise TypeError("it holds no settings or no epoch")
    except DataError:
        raise
    # torch raises nearly anything out of a damaged file.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not a checkpoint of this command ({reason}); train without --resume") from error
    if other != name:
        raise DataError(f"{path}: a checkpoint of {other}, not of {name}; give --output another folder")
    differing = sorted(key for key in {*theirs, *settings} if theirs.get(key) != settings.get(key))
    if differing:
        key = differing[0]
        raise DataError(
            f"{path}: was trained with {key} {theirs.get(key)}, not {settings.get(key)}; "
            "resume with the same flags, or train without --resume"
        )
    return progress
