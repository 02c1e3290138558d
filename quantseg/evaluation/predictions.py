"""Runs one item through the models: checks outputs, applies the output head, resizes labels to the masks' size."""

import functools
import operator
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data import Dataset, Item
from quantseg.data.heads import InstanceHead, head_of
from quantseg.data.instances import Instances
from quantseg.data.masks import resize_nearest
from quantseg.data.recipe import OutputRecipe, Recipe, image_input
from quantseg.errors import DataError, ModelError
from quantseg.evaluation.metrics.instances import LOWEST_SCORE, MOST_DETECTIONS
from quantseg.evaluation.metrics.sqnr import Sqnr
from quantseg.graph import TensorSpec
from quantseg.runtimes import DEFAULT, Runtime, Session, for_file

MAX_CLASSES = 1024
"""The largest class id, plus one, that is accepted in an output of class ids; larger ids raise an error."""

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Prediction:
    """One model's masks of one item, and the labels.

    masks: class maps (images, height, width) or channels (images, classes, height, width); truth: likewise,
    or None without labels. image: uint8 RGB (height, width, 3) or None. outputs: the tensors that the masks
    come from. instances: of each image, down to LOWEST_SCORE, the highest scores first; None where the head gives none.
    labelled: the labelled instances of each image at the masks' size, or None.
    """

    name: str
    image: NDArray[np.uint8] | None
    truth: Array | None
    masks: Array
    outputs: tuple[Array, ...]
    classes: int
    instances: tuple[Instances, ...] | None = None
    labelled: tuple[Instances, ...] | None = None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the outputs."""
        return tuple(output.shape for output in self.outputs)


@dataclass(frozen=True)
class FoldedInput:
    """Inputs and recipe of a folded model, whose preprocessing or output head differ from the float model's.

    dataset: the same images in the same order, prepared for the folded model. recipe: the folded model's, completed.
    input: the tensor that takes the images.
    """

    dataset: Dataset
    recipe: Recipe
    input: TensorSpec


@dataclass(frozen=True, eq=False)
class Comparison:
    """The float (`reference`) and the int8 (`candidate`) model's predictions for one item."""

    reference: Prediction
    candidate: Prediction

    @property
    def classes(self) -> int:
        """The number of classes."""
        return max(self.reference.classes, self.candidate.classes)

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Pixels whose class differs, or with channel masks any of their classes: booleans (images, height, width)."""
        differs: NDArray[np.bool_] = self.reference.masks != self.candidate.masks
        return np.any(differs, axis=1) if differs.ndim == 4 else differs

    @property
    def sqnr(self) -> Sqnr | None:
        """Noise of the int8 outputs against the float outputs; of the masks, if an output is not of real numbers.

        None where the models detect other things: in another number, or with other labels.
        """
        real, quantised = self.reference.outputs, self.candidate.outputs
        if self.reference.instances is not None:
            return _sqnr_of_detections(list(zip(real, quantised, strict=True)))
        if all(np.issubdtype(output.dtype, np.floating) for output in (*real, *quantised)):
            return functools.reduce(operator.add, map(Sqnr.from_outputs, real, quantised))
        return Sqnr.from_outputs(self.reference.masks, self.candidate.masks)


@contextmanager
def open_pair(
    reference: Path | bytes, candidate: Path | bytes, *, threads: int, runtime: Runtime = DEFAULT
) -> Iterator[tuple[Session, Session]]:
    """Opens both models: for their masks, not for timing. Raises ModelError.

    runtime: of the candidate; the reference always runs in the default runtime.
    """
    own = runtime if runtime.name == DEFAULT.name else DEFAULT
    with (
        closing(own.open(reference, threads=threads, spinning=False)) as first,
        closing(for_file(runtime, candidate).open(candidate, threads=threads, spinning=False)) as second,
    ):
        yield first, second


def predict(session: Session, item: Item, recipe: Recipe) -> Prediction:
    """Runs one item through a model. recipe: a completed one.

    Raises ModelError for an output that is not finite, DataError for labels that do not fit the masks.
    """
    head = head_of(recipe.output)
    names = head.outputs(recipe.output, session.outputs)
    outputs = tuple(session.run(item.feeds(image_input(session.inputs, recipe.input).name), names))
    check_finite(names, outputs, item.name)
    masks = head.masks(outputs, recipe.output)
    truth = None if item.mask is None else _fitted(item.mask, masks, item.name)
    known = masks.shape[1] if masks.ndim == 4 else head.class_count(outputs, recipe.output)
    classes = _classes_seen((masks, truth), recipe.output, item.name) if known is None else known
    seen = Prediction(item.name, item.image, truth, masks, outputs, classes)
    if not isinstance(head, InstanceHead):
        return seen
    found = tuple(_counted(one, recipe.output) for one in head.instances(outputs, recipe.output, LOWEST_SCORE))
    labelled = None if item.instances is None else (_labelled(item.instances, seen),)
    if labelled is not None and truth is None:
        seen = replace(seen, truth=labelled[0].planes(classes)[None])
    return replace(seen, instances=found, labelled=labelled)


def compare(
    reference: Session,
    candidate: Session,
    dataset: Dataset,
    recipe: Recipe,
    index: int,
    *,
    folded: FoldedInput | None = None,
) -> Comparison:
    """Runs item `index` through the float model `reference` and the int8 model `candidate`.

    folded: the candidate's own inputs and recipe, if preprocessing or head were folded into it. Raises as `predict`
    does, and ModelError where the outputs (for a folded model and for one of instances the masks) differ in shape.
    """
    item = dataset.load(index)
    real = predict(reference, item, recipe)
    if folded is None:
        quantised = predict(candidate, item, recipe)
    else:
        quantised = predict(candidate, folded.dataset.load(index), folded.recipe)
    if folded is None and real.instances is None:
        shapes = real.shapes, quantised.shapes
    else:
        shapes = (real.masks.shape,), (quantised.masks.shape,)
    if differ := [pair for pair in zip(*shapes, strict=True) if pair[0] != pair[1]]:
        raise ModelError(
            f"output {recipe.output.name!r} is {differ[0][0]} in the float and {differ[0][1]} in the int8 model; "
            "compare a model with its own quantised form"
        )
    return Comparison(real, quantised)


def _sqnr_of_detections(pairs: Sequence[tuple[Array, Array]]) -> Sqnr | None:
    """Noise of the real numbers among the outputs; None where shapes or labels differ."""
    real = [np.issubdtype(a.dtype, np.floating) for a, _ in pairs]
    of = list(zip(real, pairs, strict=True))
    if not all(a.shape == b.shape and (is_real or np.array_equal(a, b)) for is_real, (a, b) in of):
        return None
    return sum((Sqnr.from_outputs(*pair) for is_real, pair in of if is_real), Sqnr())


def check_finite(names: Sequence[str], outputs: Sequence[Array], image: str) -> None:
    """Raises ModelError, with the names of output and image, where an output holds NaN or infinity."""
    for name, output in zip(names, outputs, strict=True):
        if not np.isfinite(output).all():
            raise ModelError(
                f"output {name!r} holds NaN or infinity for {image}; check the preprocessing and the model"
            )


def _fitted(mask: Array, masks: Array, name: str) -> Array:
    """An item's labels with a batch axis, resized to `masks`, as a class map or as channels like them."""
    labels = mask if mask.ndim == masks.ndim else mask[None]
    if labels.ndim != masks.ndim or labels.shape[:-2] != masks.shape[:-2]:
        raise DataError(
            f"{name}: labels of shape {mask.shape} do not fit masks of shape {masks.shape} from the model; "
            "check the labels and output.head in the recipe"
        )
    fitted = resize_nearest(labels, (masks.shape[-2], masks.shape[-1]))
    return fitted.astype(np.bool_) if masks.dtype == np.bool_ else fitted


def _counted(found: Instances, recipe: OutputRecipe) -> Instances:
    """Those that are counted: the first MOST_DETECTIONS, and whatever is above the recipe's threshold."""
    count = max(MOST_DETECTIONS, int((found.scores > recipe.threshold).sum()))
    return found if len(found) <= count else found.chosen(np.arange(count))


def _labelled(labels: Instances, seen: Prediction) -> Instances:
    """Labelled instances at the masks' size; those without a pixel there are left out. Raises DataError."""
    if len(seen.masks) != 1:
        raise DataError(f"{seen.name}: labelled instances of one image beside {len(seen.masks)}; give one at a time")
    if len(labels) and not 0 <= labels.classes.min() <= labels.classes.max() < seen.classes:
        wrong = next(int(k) for k in labels.classes if not 0 <= k < seen.classes)
        raise DataError(
            f"{seen.name}: an instance of class {wrong} in the labels is outside 0…{seen.classes - 1}; correct the "
            "labels or output.classes in the recipe"
        )
    masks = resize_nearest(labels.masks, (seen.masks.shape[-2], seen.masks.shape[-1]))
    return replace(labels, masks=masks).chosen(np.flatnonzero(masks.any(axis=(1, 2))))


def _classes_seen(maps: Sequence[Array | None], recipe: OutputRecipe, name: str) -> int:
    """One more than the largest class id: the number of classes, where neither model nor recipe states it."""
    counted = [m if recipe.ignore_index is None else m[m != recipe.ignore_index] for m in maps if m is not None]
    classes = 1 + max(int(ids.max(initial=0)) for ids in counted)
    if classes > MAX_CLASSES:
        raise DataError(
            f"{name}: class id {classes - 1} in the output or the labels, at most {MAX_CLASSES} are counted; "
            "check output.head, output.classes and output.ignore_index in the recipe"
        )
    return classes
