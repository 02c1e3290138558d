"""What commands say of a model's integer sums: on which processors they are exact."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantseg.cli import console
from quantseg.cli.flags import as_flags

if TYPE_CHECKING:
    import onnx_ir as ir

    from quantseg.simulation.saturation import ExactnessVerdict


def say(model: "ir.Model | Path", name: str = "") -> dict[str, Any] | None:
    """Says it of a quantised model, and gives it for a JSON file; of a float model it says nothing and gives None.

    name: of the model, where there are several. Raises ModelError.
    """
    from quantseg import graph
    from quantseg.simulation import saturation

    loaded = graph.load(model) if isinstance(model, Path) else model
    if not graph.is_quantised(loaded):
        return None
    found = saturation.verdict(loaded)
    say_verdict(found, name)
    return found.to_json()


def say_verdict(found: "ExactnessVerdict", name: str = "") -> None:
    """One sentence, in lines that fit a terminal."""
    from quantseg.report import tables

    sentence = as_flags(found.sentence)
    console.say(textwrap.fill(f"{name}: {sentence}" if name else sentence, tables.WIDTH))
