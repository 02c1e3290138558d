"""The stages of each command, by the names that its loops have: stage i of n is told from the start."""

from typing import TYPE_CHECKING

from quantseg.cli import console

if TYPE_CHECKING:
    from quantseg.refinement.options import Options

EVALUATE, MEMORY, TIME, PROFILE = "evaluate", "measure memory", "time models", "profile operators"
KERNELS, WHOLE = "time kernels", "time whole models"
DRAW, PEER, NNCF, SEARCH, FLOAT, ALONE, EACH_TENSOR = (
    "draw cells",
    "onnxruntime's quantizer",
    "NNCF's quantizer",
    "search",
    "float outputs",
    "quantise nodes alone",
    "risk of each tensor",
)
CLASSICAL = "classical methods"
MEASURE = (EVALUATE, MEMORY, TIME, PROFILE, "write the report")
"""Of a report."""


def measuring(*, baselines: bool) -> tuple[str, ...]:
    """The stages of a report's measurements. baselines: whether classical methods stand beside."""
    before = MEASURE.index(PROFILE)
    return (*MEASURE[:before], *[CLASSICAL] * baselines, *MEASURE[before:])


def plan(*names: str, title: str = "") -> None:
    """Tells the display the stages of a command. title: stands before its line."""
    console.screen.display.plan(*names, title=title)


def making(options: "Options", *, images: bool = True, refine: bool = True, place: bool = True) -> tuple[str, ...]:
    """The stages in which a model is made.

    images: whether it calibrates on images; a calibration file has none. refine: whether it refines. place: whether
    nodes are placed by their measured times, where the target asks for that.
    """
    from quantseg.refinement.levels import FAST
    from quantseg.refinement.levels.passes import CALIBRATE, STAGES

    effort = options.effort_for(images=images) if refine else FAST
    placed = (KERNELS, WHOLE) if place and options.target.is_placed else ()
    return (*[CALIBRATE] * images, *STAGES.get(effort, ()), *placed)
