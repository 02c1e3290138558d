"""Unfinished learning on disk: written whole or not at all, and read back for the same work alone."""

import io
import logging
import pickle
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from quantseg.errors import CalibrationError
from quantseg.files import write_bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far learning has come. part: how many parts are done. step: how many steps of the whole network.

    tensors: positions and biases, by name, after those parts. variables, optimiser: what the steps have made of them.
    """

    part: int = 0
    step: int = 0
    tensors: dict[str, Any] = field(default_factory=dict)
    variables: list[Any] = field(default_factory=list)
    optimiser: dict[str, Any] = field(default_factory=dict)


_KEPT = tuple(entry.name for entry in fields(Progress))


def read(path: Path, work: str) -> Progress | None:
    """What was saved there; None where there is no file.

    work: digest of everything that the result follows from. Raises CalibrationError for a file of other work, or none
    of ours.
    """
    if not path.exists():
        return None
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("torch writes archives")
        found = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
        same = found["work"] == work
        progress = Progress(**{key: found[key] for key in _KEPT})
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise CalibrationError(
            f"{path}: is no checkpoint of learned rounding; remove it or give another name"
        ) from error
    if not same:
        raise CalibrationError(
            f"{path}: is of another model, other images, settings or another seed; remove it or give another name"
        )
    log.info("%s: continuing after %d parts and %d steps", path, progress.part, progress.step)
    return progress


def write(path: Path, work: str, progress: Progress) -> None:
    """Saves it. Raises OutputError where the place cannot be written."""
    buffer = io.BytesIO()
    torch.save({"work": work} | {key: getattr(progress, key) for key in _KEPT}, buffer)
    write_bytes(path, buffer.getvalue())
