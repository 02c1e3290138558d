"""Prints on which processors the integer sums of a model are exact."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantseg.cli import console
from quantseg.cli.flags import as_flags

if TYPE_CHECKING:
    import onnx_ir as ir

    from quantseg.simulation.saturation import ExactnessVerdict


def say(model: "ir.Model | Path", name: str = "") -> dict[str, Any] | None:
    """Prints the verdict on a quantised model and returns it as JSON values; a float model prints nothing: None.

    So does a .tflite file, whose kernels add in 32 bits on every processor.

    name: the model's, if the command has several models. Raises ModelError.
    """
    from quantseg import graph
    from quantseg.files.tflite import SUFFIX
    from quantseg.simulation import saturation

    if isinstance(model, Path) and model.suffix == SUFFIX:
        return None
    loaded = graph.load(model) if isinstance(model, Path) else model
    if not graph.is_quantised(loaded):
        return None
    found = saturation.verdict(loaded)
    say_verdict(found, name)
    return found.to_json()


def say_verdict(found: "ExactnessVerdict", name: str = "") -> None:
    """Prints the verdict in one sentence, wrapped to the terminal."""
    from quantseg.report import tables

    sentence = as_flags(found.sentence)
    console.say(textwrap.fill(f"{name}: {sentence}" if name else sentence, tables.WIDTH))
