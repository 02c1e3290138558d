"""A dry run: the plan of a model from few images and without refinement, with what the whole command would take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median

from quantseg.api.stages import fitted, folded, refined
from quantseg.calibration.calibrate import Calibrated, calibrate
from quantseg.calibration.choosing import Choice
from quantseg.data import Subset
from quantseg.data.folder import choose
from quantseg.mixed_precision.feeds import drawn
from quantseg.mixed_precision.targets import input_shapes
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.model_files import as_file
from quantseg.quantization.writing import QuantizedModel
from quantseg.refinement.forecast import forecast, taken
from quantseg.refinement.levels import FAST, passes_of
from quantseg.refinement.levels.passes import Passes, left_out
from quantseg.refinement.options import Options
from quantseg.runtimes.latency import timed_runs

IMAGES = 2
"""Calibration images that a dry run looks at."""
ROUNDS, RUNS = 2, 3


@dataclass(frozen=True)
class DryRun:
    """What a dry run tells.

    made: the model without refinement. images: number looked at, and number that there are; None with a calibration
    file. seconds: of one run in float and in integers, measured here. stages: stage of the whole command → seconds,
    estimated from the float model's time here. left_out: what the work budget would leave out, if anything.
    """

    made: QuantizedModel
    images: tuple[int, int] | None
    seconds: tuple[float, float]
    stages: Mapping[str, float]
    left_out: str | None

    @property
    def int8_bytes(self) -> int:
        """The size of the model's file."""
        return self.made.size

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        looked_at, there_are = self.images or (None, None)
        return {
            "images": {"looked_at": looked_at, "there_are": there_are},
            "int8_bytes": self.int8_bytes,
            "milliseconds": {"float": round(1e3 * self.seconds[0], 3), "int8": round(1e3 * self.seconds[1], 3)},
            "seconds": {name: round(seconds, 1) for name, seconds in self.stages.items()},
            "left_out": self.left_out,
        }


def from_images(model: FloatModel, data: object, options: Options) -> DryRun:
    """A dry run on IMAGES of the calibration images. Raises the errors of `quantize`."""
    images = options.images(data)(model.recipe, model.inputs)
    few = Subset(images, choose(tuple(range(len(images.names))), IMAGES))
    choice = options.choice or Choice().with_grid(options.settings)
    given = Calibrated(model, calibrate(model, choice, options.context(few)), few)
    start = refined(given, replace(options, effort=FAST, budget=1.0))
    made = fitted(folded(start, options), options)
    seconds = _seconds(model, made, options)
    passes = replace(passes_of(start, options.context(few)), images=len(images.names))
    pace = passes.forward / seconds[0]
    stages = {stage.what: stage.work / pace for stage in forecast(passes, options)}
    return DryRun(made, (len(few.names), len(images.names)), seconds, stages, _left_out(passes, options))


def from_file(given: Calibrated, options: Options) -> DryRun:
    """A dry run with a calibration that was read from a file, which is not refined in any case."""
    made = fitted(folded(refined(given, options), options), options)
    return DryRun(made, None, _seconds(given.model, made, options), {}, None)


def _left_out(passes: Passes, options: Options) -> str | None:
    return None if options.effort == FAST else left_out(passes, *taken(passes, options))


def _seconds(model: FloatModel, made: QuantizedModel, options: Options) -> tuple[float, float]:
    """Seconds of one run of the float and of the int8 model: medians of runs in turns, on random inputs."""
    context, networks = options.context(), (model, made.candidate.model)
    feeds = [drawn(one.inputs, input_shapes(one)[one.input.name]) for one in networks]
    times: tuple[list[float], list[float]] = [], []
    with as_file(model) as in_float, as_file(made) as in_integers:
        for _ in range(ROUNDS):
            for file, given, found in zip((in_float, in_integers), feeds, times, strict=True):
                found += timed_runs(context.runtime, file, given, context.threads, RUNS)
    return median(times[0]), median(times[1])
