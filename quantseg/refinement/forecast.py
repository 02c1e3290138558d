"""Tells a display before the work begins how much work the stages of a command are, so that it tells the time left."""

from contextlib import suppress

from quantseg.calibration.context import Context
from quantseg.errors import QuantSegError
from quantseg.progress import Forecast, Stage, expect
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.plan import observable
from quantseg.refinement.levels.breadth import BALANCED, FAST, Breadth, full
from quantseg.refinement.levels.passes import SECOND, Passes, within
from quantseg.refinement.options import Options

RUNS = 100
"""Runs of each model in a latency comparison, about."""


def announce(model: FloatModel, options: Options, context: Context) -> None:
    """Tells the context's Track, if it wants to know, the work of all stages from calibration on."""
    if not isinstance(context.track, Forecast):
        return
    with suppress(QuantSegError):  # the work itself meets the error, and says more of it
        images, tensors = len(context.data.names), len(observable(model.prepared.model.graph))
        given = context.data.load(0).feeds(model.input.name)
        passes = Passes.of(model.prepared, given, images=images, tensors=tensors)
        expect(context.track, (*forecast(passes, options), *measuring(passes)))


def forecast(passes: Passes, options: Options) -> tuple[Stage, ...]:
    """The stages in which `quantize` makes a model from images, with their work."""
    effort = options.effort_for(images=True)
    breadth = None if effort == FAST else taken(passes, options)[1]
    return passes.forecast(effort, breadth)


def taken(passes: Passes, options: Options) -> tuple[Breadth, Breadth]:
    """How widely the effort level would search with any amount of work, and how widely it does."""
    effort = options.effort_for(images=True)
    wide = full(effort, leave_float=not options.target.int8_everywhere)
    return wide, within(passes, wide, options.budget if effort == BALANCED else None)


def measuring(passes: Passes) -> tuple[Stage, ...]:
    """The stages of a report or a comparison, as if it judged as many images as there are to calibrate on."""
    forward = float(passes.forward)
    return (
        Stage("onnxruntime's quantizer", passes.images * passes.observed),
        Stage("evaluate", 2 * passes.images * forward),
        Stage("measure memory", 2 * (SECOND + forward)),
        Stage("time models", 2 * RUNS * forward),
        Stage("profile operators", SECOND + 24 * forward),
        Stage("write the report", SECOND),
    )
