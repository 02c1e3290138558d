"""Heads: from a model's output to the masks that metrics compare.

argmax       one channel per class: the class with the largest value; of equal ones the first
threshold    one channel: class 1 where its value is above the threshold, else class 0
multilabel   one channel per class: each class wherever its own value is above the threshold
labels       the model gives class ids itself
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.recipe import OutputRecipe
from quantseg.errors import RecipeError

Array = NDArray[Any]


def class_map(output: Array, recipe: OutputRecipe) -> Array:
    """Masks of a batch: int64 (images, height, width), for multilabel bool (images, classes, height, width).

    output: (images, channels, height, width) in the recipe's layout, or (images, height, width) where the
    layout is NHW. Raises RecipeError where head, layout and shape do not fit each other.
    """
    return _HEADS[str(recipe.head)](channels_first(output, recipe), recipe)


def class_count(output: Array, recipe: OutputRecipe) -> int | None:
    """How many classes the head tells apart; None where only the recipe's class names could tell."""
    if recipe.head == "labels":
        return len(recipe.classes) or None
    return 2 if recipe.head == "threshold" else channels_first(output, recipe).shape[1]


def class_names(classes: tuple[str, ...], count: int, head: str | None) -> tuple[str, ...]:
    """`count` names: the recipe's, then plain ones. One name of a threshold head names what is above it."""
    if head == "threshold" and len(classes) < 2:
        return ("background", *(classes or ("foreground",)))
    return tuple(classes[k] if k < len(classes) else f"class {k}" for k in range(count))


def channels_first(output: Array, recipe: OutputRecipe) -> Array:
    """The output as (images, channels, height, width), whatever layout the recipe tells. Raises RecipeError."""
    dimensions = 3 if recipe.layout == "NHW" else 4
    if output.ndim != dimensions:
        raise RecipeError(
            f"output of shape {output.shape} is not {recipe.layout}; correct output.layout or output.name in the recipe"
        )
    if recipe.layout == "NHW":
        return output[:, None]
    return np.moveaxis(output, 3, 1) if recipe.layout == "NHWC" else output


def _one_channel(output: Array, recipe: OutputRecipe) -> Array:
    if output.shape[1] != 1:
        raise RecipeError(
            f"head {recipe.head!r} needs one channel and the output has {output.shape[1]}; use argmax or multilabel"
        )
    return output[:, 0]


def _argmax(output: Array, recipe: OutputRecipe) -> Array:
    return np.asarray(output.argmax(axis=1))


def _threshold(output: Array, recipe: OutputRecipe) -> Array:
    return (_one_channel(output, recipe) > recipe.threshold).astype(np.int64)


def _multilabel(output: Array, recipe: OutputRecipe) -> Array:
    return np.asarray(output > recipe.threshold)


def _labels(output: Array, recipe: OutputRecipe) -> Array:
    return _one_channel(output, recipe).astype(np.int64)


_HEADS: Mapping[str, Callable[[Array, OutputRecipe], Array]] = {
    "argmax": _argmax,
    "threshold": _threshold,
    "multilabel": _multilabel,
    "labels": _labels,
}
