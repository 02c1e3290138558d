"""Warnings on preprocessing that cannot be right, before minutes are spent."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from quantseg.cli import console
from quantseg.cli.flags import as_flags

if TYPE_CHECKING:
    from quantseg.quantization.float_model import FloatModel
    from quantseg.refinement.options import Options


def say(model: "FloatModel", data: Path, options: "Options") -> None:
    """Prints a line to standard error for each thing that is surely wrong with the images' preprocessing."""
    from quantseg.evaluation.checking.before_work import suspicions

    with _unsaid():
        images = options.images(data)(model.recipe, model.inputs)
    for finding in suspicions(model, images, options.context()):
        console.complain(f"warning: {as_flags(finding.told)}; more: quantseg check {model.name} --data {data}")


@contextmanager
def _unsaid() -> Iterator[None]:
    """Leaves out the notes on how data are read: the work that follows opens them again, and says so."""
    logger = logging.getLogger("quantseg.data")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
