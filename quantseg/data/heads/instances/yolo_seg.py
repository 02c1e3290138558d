"""YOLO with masks: boxes, class scores and coefficients of anchors, and prototypes that the coefficients mix.

    predictions B×(4+classes+K)×ANCHORS or transposed, prototypes B×K×h×w; or after suppression in the graph B×N×(6+K)

Boxes are centre x, centre y, width, height in pixels of the input, scores are 0…1; each anchor counts for its best
class. After suppression: x0, y0, x1, y1, score, class from 0, coefficients. A mask is where the sum of the prototypes
times the coefficients, read at the input's size, is above 0, and the pixel's centre lies in the box. Source: Bolya et
al., ICCV 2019 (arXiv:1904.02689, YOLACT); the layout and the cut after enlarging are those of Ultralytics.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads import maps
from quantseg.data.heads.head import Array, GraphOutput, Margins, OutputLoss
from quantseg.data.heads.instances import reading
from quantseg.data.heads.instances.anchors import find, form_of
from quantseg.data.heads.instances.boxes import MOST, by_score, corners, suppress
from quantseg.data.heads.instances.evidence import F32, Evidence, Soft, grid_of, leads, ranked
from quantseg.data.heads.instances.resampling import Patch, centres, covered, resized, sampled, span
from quantseg.data.instances import Instances
from quantseg.data.values import InputRecipe, OutputRecipe
from quantseg.graph import TensorSpec

NMS_IOU = 0.7
UNNAMED = 80
"""Classes of predictions after suppression where the recipe names none: those of COCO."""
WATCHED = 300
"""Anchors of the highest scores whose scores are margins of their own."""


@final
class YoloSeg:
    """See InstanceHead."""

    name = "yolo-seg"
    gives_numbers = True
    overlapping = True

    def recognises(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> bool:
        """Predictions for the anchors of strides 4, 8, 16 …, or rows of 6+K numbers, and K prototypes."""
        return find(recipe, outputs, given.size, strict=True) is not None

    def complete(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
        """The output that is named holds the predictions. An `nms_iou` says that suppression is still to be done."""
        found = find(recipe, outputs, given.size, strict=False)
        if found is None:
            reading.refuse(self.name, outputs, recipe.name)
        form, count = found.form, found.form.classes
        if count is None and not recipe.classes and not form.final:
            raise reading.unknown_classes(self.name, found.predictions)
        if form.final and not recipe.classes:
            count = UNNAMED
        done = reading.completed(recipe, self.name, found.predictions, count, given)
        return done if form.final else replace(done, nms_iou=NMS_IOU if recipe.nms_iou is None else recipe.nms_iou)

    def outputs(self, recipe: OutputRecipe, specs: Sequence[TensorSpec]) -> tuple[str, ...]:
        """Predictions, prototypes."""
        found = find(recipe, specs, recipe.size, strict=False)
        if found is None:
            reading.refuse(self.name, specs, recipe.name)
        return found.predictions.name, found.prototypes.name

    def class_names(self, classes: tuple[str, ...], count: int) -> tuple[str, ...]:
        """The recipe's names, then "class 3" and so on."""
        return maps.class_names(classes, count)

    def class_count(self, outputs: Sequence[Array], recipe: OutputRecipe) -> int:
        """The number of names in the recipe."""
        return len(recipe.classes)

    def instances(self, outputs: Sequence[Array], recipe: OutputRecipe, lowest: float) -> tuple[Instances, ...]:
        """See InstanceHead."""
        size, found = reading.size_in(recipe), []
        for image in _images(outputs, recipe):
            kept = image.kept(lowest, recipe)
            reading.check_classes(image.classes[kept], recipe)
            patches = image.patches(kept, size)
            found.append(reading.drawn(patches, image.classes[kept], image.scores[kept], size))
        return tuple(found)

    def masks(self, outputs: Sequence[Array], recipe: OutputRecipe) -> NDArray[np.bool_]:
        """For each class the union of its instances above the threshold."""
        return reading.unions(self.instances(outputs, recipe, recipe.threshold), recipe)

    def margins(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Margins:
        """See evidence.py: the anchors that these outputs keep, in any model; WATCHED anchors' scores of their classes.

        After suppression in the graph rows stand for no anchors: then the best rows of each model, scores by rank.
        """
        images = _images(outputs, recipe)
        if recipe.nms_iou is None:
            return Evidence.of_model(outputs, _DrawRows(recipe))
        drawn = tuple(image.kept(-np.inf, recipe) for image in images)
        watched = tuple(by_score(image.scores)[:WATCHED] for image in images)
        classes = tuple(image.classes for image in images)
        chosen = [tuple((of, one[of]) for of, one in zip(some, classes, strict=True)) for some in (drawn, watched)]
        return Evidence.of_model(outputs, _DrawAnchors(recipe, *chosen))

    def losses(self, recipe: OutputRecipe) -> tuple[OutputLoss, ...]:
        """Of predictions and of prototypes, all weighing the same."""
        return OutputLoss(), OutputLoss()

    def fold(self, outputs: Sequence[GraphOutput], recipe: OutputRecipe) -> tuple[Any, OutputRecipe]:
        """Raises PlanError."""
        reading.not_folded(self.name)


@dataclass(frozen=True, eq=False)
class _Anchors:
    """The anchors of one image: boxes as corners (n, 4), their best classes (n,) and the scores of these (n,).

    every: scores (n, classes); None after suppression. coefficients: (n, k). prototypes: (k, h, w).
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    scores: F32
    every: F32 | None
    coefficients: F32
    prototypes: F32

    def kept(self, lowest: float, recipe: OutputRecipe) -> NDArray[np.int64]:
        """Indices of the anchors above `lowest` that are instances, first the highest score; at most MOST."""
        able = np.flatnonzero((self.scores > lowest) & (self.classes >= 0))
        boxes, scores, classes = self.boxes[able], self.scores[able], self.classes[able]
        if recipe.nms_iou is None:
            return able[by_score(scores)[:MOST]]
        return able[suppress(boxes, scores, classes, recipe.nms_iou)]

    def logits(self, which: NDArray[np.int64]) -> F32:
        """Masks (len(which), h, w), before they are enlarged and cut."""
        weights, shape = self.coefficients[which].astype(np.float64), self.prototypes.shape
        return reading.bounded(weights @ self.prototypes.reshape(shape[0], -1)).reshape(-1, *shape[1:])

    def patches(self, which: NDArray[np.int64], size: tuple[int, int]) -> Iterator[Patch]:
        """Masks (bool) in an image of that size, cut to their boxes."""
        for box, logits in zip(self.boxes[which], self.logits(which), strict=True):
            rows, columns = span(box[1], box[3], size[0]), span(box[0], box[2], size[1])
            height, width = logits.shape
            large = sampled(logits, centres(rows, size[0], height), centres(columns, size[1], width))
            yield Patch(rows, columns, large > 0)

    def soft(self, which: NDArray[np.int64], size: tuple[int, int], grid: tuple[int, int]) -> F32:
        """Masks 0…1 on a grid over the image: sigmoid, times the share of each cell that the box covers."""
        down, across = grid[0] / size[0], grid[1] / size[1]
        found = np.zeros((len(which), *grid), np.float32)
        for mask, (x0, y0, x1, y1), logits in zip(found, self.boxes[which], self.logits(which), strict=True):
            inside = covered(y0 * down, y1 * down, grid[0])[:, None] * covered(x0 * across, x1 * across, grid[1])
            mask[:] = reading.sigmoid(resized(logits, grid)) * inside
        return found


_Chosen = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Anchors and their classes."""


@dataclass(frozen=True)
class _DrawAnchors:
    """Draws the evidence of the same anchors and classes, whatever the outputs. drawn, watched: of each image."""

    recipe: OutputRecipe
    drawn: tuple[_Chosen, ...]
    watched: tuple[_Chosen, ...]

    def __call__(self, outputs: Sequence[Array]) -> tuple[F32, F32]:
        size, count, threshold = reading.size_in(self.recipe), len(self.recipe.classes), self.recipe.threshold
        grid, soft, own = grid_of(size, count), list[Soft](), list[F32]()
        for image, drawn, watched in zip(_images(outputs, self.recipe), self.drawn, self.watched, strict=True):
            assert image.every is not None
            soft.append(Soft(image.every[drawn], drawn[1], image.soft(drawn[0], size, grid)))
            own.append(image.every[watched] - np.float32(threshold))
        return leads(soft, count, grid, threshold), np.concatenate(own)


@dataclass(frozen=True)
class _DrawRows:
    """Draws the evidence of the best rows of any outputs."""

    recipe: OutputRecipe

    def __call__(self, outputs: Sequence[Array]) -> tuple[F32, F32]:
        size, count, threshold = reading.size_in(self.recipe), len(self.recipe.classes), self.recipe.threshold
        grid, soft = grid_of(size, count), list[Soft]()
        for image in _images(outputs, self.recipe):
            rows = image.kept(-np.inf, self.recipe)
            classes = np.minimum(image.classes[rows], count - 1)
            soft.append(Soft(image.scores[rows], classes, image.soft(rows, size, grid)))
        return leads(soft, count, grid, threshold), ranked(soft, threshold)


def _images(outputs: Sequence[Array], recipe: OutputRecipe) -> list[_Anchors]:
    """The anchors of each image of a batch. Raises RecipeError where the arrays do not fit the recipe."""
    if len(outputs) != 2 or outputs[0].ndim != 3 or outputs[1].ndim != 4 or 0 in outputs[1].shape[1:]:
        raise reading.misfit(recipe, outputs)
    predictions, prototypes = (output.astype(np.float32, copy=False) for output in outputs)
    form = form_of(predictions.shape, prototypes.shape[1], recipe)
    if form is None or len(predictions) != len(prototypes):
        raise reading.misfit(recipe, outputs)
    rows = predictions if form.axis == 1 else predictions.transpose(0, 2, 1)
    return [(_rows if form.final else _decoded)(*image) for image in zip(rows, prototypes, strict=True)]


def _decoded(rows: F32, prototypes: F32) -> _Anchors:
    """The anchors (n, 4+classes+k) of one image."""
    every = rows[:, 4 : rows.shape[1] - len(prototypes)]
    best = every.argmax(axis=1)
    scores = np.take_along_axis(every, best[:, None], axis=1)[:, 0]
    return _Anchors(corners(rows), best, scores, every, rows[:, rows.shape[1] - len(prototypes) :], prototypes)


def _rows(rows: F32, prototypes: F32) -> _Anchors:
    """The rows (n, 6+k) of one image after suppression."""
    classes = np.rint(np.clip(rows[:, 5], -1, maps.MAX_CLASSES)).astype(np.int64)
    return _Anchors(rows[:, :4].astype(np.float64), classes, rows[:, 4], None, rows[:, 6:], prototypes)
