"""Trials: a model run on a few images with one preprocessing after another."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from PIL import Image

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data import Item
from quantseg.data.heads import head_of
from quantseg.data.preprocess import resize, to_tensor
from quantseg.data.recipe import InputRecipe, Recipe
from quantseg.evaluation.checking.early_layers import EarlyLayers, InputFit, exposing, observed
from quantseg.graph import TensorSpec
from quantseg.runtimes import Session

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class CheckedModel:
    """A model and a few images to try it on. items: as the recipe makes them; recipe: completed, also the declared one.

    input: takes the image. outputs: all of the model. told: texts with signs of its family. declared: whether the
    preprocessing is, or a default.
    """

    model: ir.Model
    recipe: Recipe
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    items: tuple[Item, ...]
    told: str = ""
    declared: bool = True

    @property
    def has_images(self) -> bool:
        """Whether other preprocessing can be tried: the items come from images, not from arrays."""
        return bool(self.items) and all(item.image is not None for item in self.items) and self.takes_floats

    @property
    def takes_floats(self) -> bool:
        """Whether the input takes real numbers, not raw pixels."""
        return np.dtype(self.input.dtype).kind == "f"

    def feeds(self, recipe: InputRecipe, count: int | None = None) -> list[dict[str, Array]]:
        """The first `count` items with this preprocessing, by name of the input."""
        return [self._prepared(item, recipe).feeds(self.input.name) for item in self.items[:count]]

    def _prepared(self, item: Item, recipe: InputRecipe) -> Item:
        if item.image is None or recipe == self.recipe.input:
            return item
        return replace(item, tensor=to_tensor(Image.fromarray(item.image), recipe, self.input.dtype))


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a model gives for the images. masks: one for each. sureness: mean over the pixels of how sure it is, 0…1.

    largest: magnitude of the outputs, infinite where one is no number.
    """

    masks: tuple[Array, ...]
    shapes: tuple[tuple[int, ...], ...]
    sureness: float
    largest: float

    @property
    def shares(self) -> Mapping[int, float]:
        """Class id → its share of all pixels; of overlapping classes each, the background left out."""
        found: dict[int, int] = {}
        for mask in self.masks:
            flat = mask if mask.dtype != np.bool_ else np.where(mask.any(axis=-3), mask.argmax(axis=-3) + 1, 0)
            for one, count in zip(*np.unique(flat, return_counts=True), strict=True):
                found[int(one)] = found.get(int(one), 0) + int(count)
        total = sum(found.values())
        return {one: count / total for one, count in sorted(found.items())}


@dataclass(frozen=True, eq=False)
class PreprocessingTrial:
    """What was seen with one preprocessing. outputs: None where the whole model was not run."""

    name: str
    recipe: InputRecipe
    fit: InputFit
    outputs: Outputs | None = field(default=None)


NO_FIT = InputFit(None, None, None, None)


def resized(image: NDArray[np.uint8], recipe: InputRecipe) -> NDArray[np.uint8]:
    """An image (H, W, 3) at the recipe's size."""
    assert recipe.size is not None
    return np.asarray(resize(Image.fromarray(image), recipe.size, recipe.resize))


def fits(
    subject: CheckedModel, layers: EarlyLayers, recipes: Mapping[str, InputRecipe], count: int, context: Context
) -> list[PreprocessingTrial]:
    """The early layers' fit to each preprocessing, by name, on `count` images. Only the model's beginning is run."""
    names = layers.tensors
    if not names:
        return [PreprocessingTrial(name, recipe, layers.fit({})) for name, recipe in recipes.items()]
    with (
        graph.as_session_source(exposing(subject.model, layers)) as source,
        closing(context.runtime.open(source, threads=context.threads, spinning=False)) as session,
    ):
        return [
            PreprocessingTrial(name, recipe, layers.fit(observed(session, names, subject.feeds(recipe, count))))
            for name, recipe in recipes.items()
        ]


def with_outputs(
    subject: CheckedModel, trials: Sequence[PreprocessingTrial], count: int, context: Context
) -> list[PreprocessingTrial]:
    """The trials with what the whole model gives for `count` images. Raises ModelError where it does not run."""
    with (
        graph.as_session_source(subject.model) as source,
        closing(context.runtime.open(source, threads=context.threads, spinning=False)) as session,
    ):
        return [replace(trial, outputs=_outputs(session, subject, trial.recipe, count)) for trial in trials]


def _outputs(session: Session, subject: CheckedModel, recipe: InputRecipe, count: int) -> Outputs:
    head, output = head_of(subject.recipe.output), subject.recipe.output
    names = head.outputs(output, subject.outputs)
    masks, shapes, sureness, largest = [], [], [], 0.0
    for feed in subject.feeds(recipe, count):
        arrays = session.run(feed, names)
        masks.append(head.masks(arrays, output)[0])
        shapes.append(arrays[0].shape)
        real = [array for array in arrays if array.dtype.kind == "f"]
        sizes = [float(np.where(np.isfinite(array), np.abs(array), np.inf).max(initial=0)) for array in real]
        largest = max(largest, *sizes, 0.0)
        if head.gives_numbers and all(np.isfinite(array).all() for array in arrays):
            sureness.append(_sureness(arrays, subject.recipe))
    return Outputs(tuple(masks), tuple(shapes), float(np.mean(sureness)) if sureness else 0.0, largest)


def _sureness(arrays: Sequence[Array], recipe: Recipe) -> float:
    """Mean of tanh(margin / 2) over the pixels: of logits of two classes, p(best) − p(other)."""
    head = head_of(recipe.output)
    lead = np.abs(head.margins(arrays, recipe.output).lead)
    return float(np.mean(np.tanh(lead / 2)))
