"""Detections after suppression in the graph: boxes, labels, scores, and a mask in each box (He et al., ICCV 2017).

    boxes N×4 (x0, y0, x1, y1 in pixels), labels N (integers, 0 is background), scores N, masks N×1×h×w or N×h×w

Boxes may hold the scores as a fifth column, as MMDeploy writes them, and all outputs may have a batch axis first. Masks
of the input's height and width are those of the image, as torchvision writes them; others are pasted into their boxes.
A mask is where its value is at least 0.5.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads import maps
from quantseg.data.heads.head import Array, GraphOutput, Margins
from quantseg.data.heads.instances import reading
from quantseg.data.heads.instances.boxes import MOST, by_score
from quantseg.data.heads.instances.evidence import F32, Evidence, Soft, grid_of, leads, ranked
from quantseg.data.heads.instances.resampling import Patch, pasted, resized
from quantseg.data.instances import Instances
from quantseg.data.values import InputRecipe, OutputRecipe
from quantseg.graph import TensorSpec

UNNAMED = 90
"""Classes where the recipe names none, as no output tells their number: COCO's labels end at 90."""
_HALF = np.float32(0.5)


@dataclass(frozen=True, eq=False)
class _Detections:
    """The detections of one image: boxes (n, 4), classes from 0 (n,), scores (n,), masks (n, h, w)."""

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    scores: F32
    masks: Array

    def best(self, lowest: float) -> "_Detections":
        """Those of the highest scores above `lowest`, first the highest; background is left out."""
        order = by_score(self.scores)
        order = order[(self.scores[order] > lowest) & (self.classes[order] >= 0)][:MOST]
        return _Detections(self.boxes[order], self.classes[order], self.scores[order], self.masks[order])

    def patches(self, size: tuple[int, int]) -> Iterable[Patch]:
        """Masks as numbers 0…1 in an image of that size."""
        whole = slice(0, size[0]), slice(0, size[1])
        for box, mask in zip(self.boxes, self.masks, strict=True):
            real = _shares(mask)
            yield Patch(*whole, real) if real.shape == size else pasted(real, box, size)


@final
class MaskRcnn:
    """See InstanceHead. As many rows as detections, so that outputs of two models have no common shape."""

    name = "mask-rcnn"
    gives_numbers = False
    overlapping = True

    def recognises(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> bool:
        """Boxes, labels, scores and masks, in any order."""
        return _find(recipe, outputs) is not None

    def complete(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
        """The output that is named holds the masks. Without names of classes there are UNNAMED."""
        found = _find(recipe, outputs)
        if found is None:
            reading.refuse(self.name, outputs, recipe.name)
        count = None if recipe.classes else UNNAMED
        return reading.completed(recipe, self.name, found[-1], count, given)

    def outputs(self, recipe: OutputRecipe, specs: Sequence[TensorSpec]) -> tuple[str, ...]:
        """Boxes, labels, scores where they are an output of their own, masks."""
        found = _find(recipe, specs)
        if found is None:
            reading.refuse(self.name, specs, recipe.name)
        return tuple(spec.name for spec in found)

    def class_names(self, classes: tuple[str, ...], count: int) -> tuple[str, ...]:
        """The recipe's names, then "class 3" and so on; the first is that of label 1."""
        return maps.class_names(classes, count)

    def class_count(self, outputs: Sequence[Array], recipe: OutputRecipe) -> int:
        """The number of names in the recipe."""
        return len(recipe.classes)

    def instances(self, outputs: Sequence[Array], recipe: OutputRecipe, lowest: float) -> tuple[Instances, ...]:
        """See InstanceHead."""
        size, found = reading.size_in(recipe), []
        for image in _images(outputs, recipe):
            some = image.best(lowest)
            reading.check_classes(some.classes, recipe, first=1)
            covered = (replace(patch, values=patch.values >= _HALF) for patch in some.patches(size))
            found.append(reading.drawn(covered, some.classes, some.scores, size))
        return tuple(found)

    def masks(self, outputs: Sequence[Array], recipe: OutputRecipe) -> NDArray[np.bool_]:
        """For each class the union of its instances above the threshold."""
        return reading.unions(self.instances(outputs, recipe, recipe.threshold), recipe)

    def margins(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Margins:
        """See evidence.py; the scores are those of the model that is looked at, by rank."""
        return Evidence.of_model(outputs, _DrawDetections(recipe))

    def losses(self, recipe: OutputRecipe) -> None:
        """None: suppression has no gradient."""

    def fold(self, outputs: Sequence[GraphOutput], recipe: OutputRecipe) -> tuple[Any, OutputRecipe]:
        """Raises PlanError."""
        reading.not_folded(self.name)


@dataclass(frozen=True)
class _DrawDetections:
    """Draws the evidence of outputs."""

    recipe: OutputRecipe

    def __call__(self, outputs: Sequence[Array]) -> tuple[F32, F32]:
        size, count = reading.size_in(self.recipe), len(self.recipe.classes)
        grid = grid_of(size, count)
        images = [_soft(image.best(-np.inf), size, grid, count) for image in _images(outputs, self.recipe)]
        threshold = self.recipe.threshold
        return leads(images, count, grid, threshold), ranked(images, threshold)


def _soft(image: _Detections, size: tuple[int, int], grid: tuple[int, int], count: int) -> Soft:
    """The detections on the grid; those of classes beyond `count` only have scores."""
    masks = np.zeros((len(image.scores), *grid), np.float32)
    shrunk = image.boxes * np.array([grid[1] / size[1], grid[0] / size[0]] * 2)
    for mask, box, small in zip(image.masks, shrunk, masks, strict=True):
        real = _shares(mask)
        if real.shape == size:
            small[:] = resized(real, grid)
        else:
            patch = pasted(real, box, grid)
            small[patch.rows, patch.columns] = patch.values
    return Soft(image.scores, np.minimum(image.classes, count - 1), masks)


def _shares(mask: Array) -> F32:
    """A mask as numbers 0…1."""
    return np.clip(mask, 0, 1).astype(np.float32)


def _images(outputs: Sequence[Array], recipe: OutputRecipe) -> list[_Detections]:
    """The detections of each image of a batch. Raises RecipeError where the arrays do not fit each other."""
    if len(outputs) not in (3, 4) or outputs[1].ndim not in (1, 2):
        raise reading.misfit(recipe, outputs)
    boxes, labels, *scores, masks = (array[None] if outputs[1].ndim == 1 else array for array in outputs)
    if masks.ndim == 5 and masks.shape[2] == 1:
        masks = masks[:, :, 0]
    wide = boxes.ndim == 3 and boxes.shape[2] == (4 if scores else 5)
    rows = {array.shape[:2] for array in (boxes, labels, *scores, masks)}
    if not wide or masks.ndim != 4 or len(rows) != 1 or any(array.ndim != 2 for array in (labels, *scores)):
        raise reading.misfit(recipe, outputs)
    each = (scores[0] if scores else boxes[:, :, 4]).astype(np.float32)
    corners, classes = boxes[:, :, :4].astype(np.float64), labels.astype(np.int64) - 1
    return [_Detections(*parts) for parts in zip(corners, classes, each, masks, strict=True)]


def _find(recipe: OutputRecipe, outputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...] | None:
    """Boxes, labels, scores and masks; or boxes with scores, labels and masks."""
    for labels in (spec for spec in outputs if reading.is_whole(spec) and len(spec.shape) in (1, 2)):
        axes = len(labels.shape)
        real = [spec for spec in outputs if reading.is_real(spec)]
        boxes = [spec for spec in real if len(spec.shape) == axes + 1 and spec.shape[-1] in (4, 5)]
        scores = [spec for spec in real if len(spec.shape) == axes]
        masks = [spec for spec in outputs if _can_be_masks(spec, axes) and recipe.name in (None, spec.name)]
        if boxes and masks and boxes[0].shape[-1] == 5:
            return boxes[0], labels, masks[0]
        if boxes and masks and scores:
            return boxes[0], labels, scores[0], masks[0]
    return None


def _can_be_masks(spec: TensorSpec, axes: int) -> bool:
    """axes: of the labels, 2 where all outputs have a batch axis."""
    if spec.dtype not in ("float32", "float16", "float64", "bool", "uint8"):
        return False
    return len(spec.shape) == axes + 2 or (len(spec.shape) == axes + 3 and reading.may_be(spec.shape[axes], 1))
