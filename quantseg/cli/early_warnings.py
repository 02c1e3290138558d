"""Warnings on preprocessing that cannot be right, before minutes are spent."""

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

    images = options.images(data)(model.recipe, model.inputs)
    for finding in suspicions(model, images, options.context()):
        console.complain(f"warning: {as_flags(finding.told)}; more: quantseg check {model.name} --data {data}")
