"""Preprocessing that cannot be right, seen on a few images before minutes of work; only what is sure.

Models with BatchNormalizations tell by the statistics of training. Of others only outputs that no training makes are
seen: one class alone, or numbers beyond LARGEST.
"""

import math
from pathlib import Path

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data import Dataset, Subset
from quantseg.data.folder import choose
from quantseg.errors import QuantSegError
from quantseg.evaluation.checking import families, preprocessing, trials
from quantseg.evaluation.checking.early_layers import EarlyLayers, early_layers
from quantseg.evaluation.checking.outputs import findings_of_outputs
from quantseg.evaluation.checking.preprocessing import Seen
from quantseg.evaluation.checking.trials import CheckedModel, PreprocessingTrial
from quantseg.evaluation.checking.values import WARNING, Finding
from quantseg.quantization.float_model import FloatModel

IMAGES = 3
MOST_BYTES = 200_000_000
"""Larger models are not looked at: reading them once more takes too long."""
FARTHEST = 10.0
"""Standard deviations between the mean of an input and that of training which no image explains."""


def suspicions(model: FloatModel, data: Dataset, context: Context) -> list[Finding]:
    """Warnings on the model's preprocessing with these images. What cannot be looked at gives none."""
    source = model.source
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if size > MOST_BYTES or not data.names:
        return []
    try:
        few = Subset(data, choose(tuple(range(len(data.names))), IMAGES))
        items = tuple(few.load(index) for index in range(len(few.names)))
        whole = graph.load(source)
        subject = CheckedModel(whole, model.recipe, model.input, graph.signature(whole)[1], items)
        return _seen(subject, early_layers(whole), context)
    except QuantSegError:  # the work itself says it, with all that belongs to it
        return []


def _seen(subject: CheckedModel, layers: EarlyLayers, context: Context) -> list[Finding]:
    given = subject.recipe.input
    tried = {families.AS_GIVEN: given}
    if subject.has_images and layers.norms:
        tried |= {families.SWAPPED: families.swapped(given)}
    fitted = trials.fits(subject, layers, tried, IMAGES, context)
    found = _of_input(subject, layers, fitted, context) if layers.norms else []
    if found:  # what the outputs show comes of it
        return found
    (ran,) = trials.with_outputs(subject, fitted[:1], IMAGES, context)
    if ran.outputs is None or not math.isfinite(ran.outputs.largest):
        return []  # calibration refuses such a model
    found = [one for one in findings_of_outputs(subject, ran, context) if one.name in ("one-class", "activations")]
    return [one for one in found if one.severity == WARNING]


def _of_input(
    subject: CheckedModel, layers: EarlyLayers, fitted: list[PreprocessingTrial], context: Context
) -> list[Finding]:
    """What the BatchNormalizations say against the input. fitted: as given and, of images, with red and blue exchanged.

    All families are tried only where the given preprocessing is far off.
    """
    given = Seen(fitted[0])
    distance, shift = fitted[0].fit.distance, fitted[0].fit.shift
    if distance is None or shift is None:
        return []
    if not subject.has_images:
        return [_far(shift)] if shift > FARTHEST else []
    every = [Seen(trial) for trial in fitted]
    if distance >= preprocessing.FITS:
        tried = families.candidates(subject.recipe.input)
        every = [Seen(trial) for trial in trials.fits(subject, layers, tried, IMAGES, context)]
    best = min(every, key=lambda one: one.trial.fit.distance or 0.0)
    swapped = next((one for one in every if one.trial.name == families.SWAPPED), None)
    wrong = preprocessing.finding(given, best if distance >= preprocessing.FITS else given, swapped)
    if wrong is None and shift > FARTHEST:
        return [_far(shift)]
    return [] if wrong is None else [wrong]


def _far(shift: float) -> Finding:
    fact = f"inputs are {shift:.0f} standard deviations from what the first BatchNormalization saw in training"
    return Finding("scale", WARNING, fact, "look at the preprocessing", {"shift": shift})
