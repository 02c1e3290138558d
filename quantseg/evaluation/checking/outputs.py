"""What a model's outputs say against its preprocessing: numbers without bound, one class alone, a size not divided."""

from dataclasses import replace

import numpy as np

from quantseg.calibration.context import Context
from quantseg.data.values import SPATIAL_AXES
from quantseg.errors import ModelError
from quantseg.evaluation.checking import trials
from quantseg.evaluation.checking.declared import stride_of
from quantseg.evaluation.checking.trials import CheckedModel, Outputs, PreprocessingTrial
from quantseg.evaluation.checking.values import NOTE, WARNING, Finding

LARGEST = 1e6
"""Activations beyond this come of wrong preprocessing, or of weights that no training makes."""
MANY = 3
"""A model of so many classes that gives one of them alone, for all images, is given wrong inputs."""

Size = tuple[int, int]


def findings_of_outputs(subject: CheckedModel, trial: PreprocessingTrial, context: Context) -> list[Finding]:
    """The findings on what the whole model gives with the recipe's preprocessing."""
    outputs = trial.outputs
    if outputs is None:
        return []
    return [*_of_numbers(outputs), *_of_classes(subject, outputs), *_of_size(subject, outputs, context)]


def runs_at(subject: CheckedModel, context: Context) -> Size | None:
    """A size near the recipe's that the model divides and runs at; None where there is none."""
    found = _divided(subject)
    return None if found is None or _outputs_at(subject, found, context) is None else found


def _of_numbers(outputs: Outputs) -> list[Finding]:
    if outputs.largest <= LARGEST:
        return []
    fact = f"the output reaches {outputs.largest:.3g}"
    remedy = "look at scale, mean and std of the recipe"
    return [Finding("activations", WARNING, fact, remedy, {"largest": outputs.largest})]


def _of_classes(subject: CheckedModel, outputs: Outputs) -> list[Finding]:
    shares = outputs.shares
    if len(shares) != 1 or len(outputs.masks) < 2:
        return []
    only, classes, many = next(iter(shares)), subject.recipe.output.classes, len(outputs.masks)
    shift = 1 if outputs.masks[0].dtype == np.bool_ else 0  # where classes overlap, 0 is a pixel without any
    name = f" ({classes[only - shift]})" if shift <= only < len(classes) + shift else ""
    alone = f"class {only - shift}{name} alone" if only >= shift else "nothing"
    fact = f"{alone} in all {many} images that were looked at"
    severity = WARNING if len(classes) >= MANY else NOTE
    remedy = "look at the preprocessing, or give images that show something else"
    return [Finding("one-class", severity, fact, remedy, {"class": only, "images": many})]


def _of_size(subject: CheckedModel, outputs: Outputs, context: Context) -> list[Finding]:
    """A finding where the output is not the input, or a part of it, but is at a size that the model divides."""
    size, better = subject.recipe.input.size, _divided(subject)
    seen = _spatial(subject, outputs.shapes[0])
    if size is None or better is None or seen is None or _is_part(seen, size):
        return []
    other = _outputs_at(subject, better, context)
    if other is None or not _is_part(other, better):
        return []
    shown, given, gives = (f"{height}x{width}" for height, width in (better, size, seen))
    fact = f"of {given}, which the model does not divide, it makes {gives}"
    return [Finding("size", WARNING, fact, f"give size={shown}", {"given": size, "output": seen, "better": better})]


def _divided(subject: CheckedModel) -> Size | None:
    """The nearest size that the model's strides divide, where its input is open and the recipe's size is another."""
    size, stride = subject.recipe.input.size, stride_of(subject.model)
    if size is None or None not in subject.input.shape[1:] or not subject.has_images:
        return None
    found = (max(round(size[0] / stride), 1) * stride, max(round(size[1] / stride), 1) * stride)
    return None if found == size else found


def _outputs_at(subject: CheckedModel, size: Size, context: Context) -> Size | None:
    """Height and width of the output at another size; None where the model does not run."""
    resized = replace(subject.recipe.input, size=size)
    item = subject.items[0]
    assert item.image is not None
    one = replace(subject, items=(replace(item, image=trials.resized(item.image, resized)),))
    try:
        (trial,) = trials.with_outputs(one, [PreprocessingTrial("resized", resized, trials.NO_FIT)], 1, context)
    except ModelError:
        return None
    return None if trial.outputs is None else _spatial(subject, trial.outputs.shapes[0])


def _spatial(subject: CheckedModel, shape: tuple[int, ...]) -> Size | None:
    axes = SPATIAL_AXES.get(str(subject.recipe.output.layout))
    return None if axes is None or len(shape) <= max(axes) else (shape[axes[0]], shape[axes[1]])


def _is_part(output: Size, size: Size) -> bool:
    """Whether an output has the image's size, or a whole fraction of it."""
    whole = all(side % found == 0 for found, side in zip(output, size, strict=True) if found)
    return whole and output[0] * size[1] == output[1] * size[0]
