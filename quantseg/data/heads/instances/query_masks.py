"""Queries, each with class logits and a mask: Mask2Former (Cheng et al., CVPR 2022, arXiv:2112.01527) and its kin.

    class logits B×Q×(C+1) or B×Q×C, masks as logits B×Q×h×w

With one logit more than classes, the last one means "no object": scores are softmax, times the mean of the mask's
sigmoid where it is above one half, as Mask2Former's authors do. With as many logits as classes, scores are sigmoid, as
in RTMDet (Lyu et al., arXiv:2212.07784). Each pair of query and class is an instance; there is no suppression. Mask
logits are read at the input's size, and a mask is where they are above 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads import maps
from quantseg.data.heads.head import Array, GraphOutput, Margins, OutputLoss
from quantseg.data.heads.instances import reading
from quantseg.data.heads.instances.boxes import MOST, by_score
from quantseg.data.heads.instances.evidence import F32, Evidence, Soft, grid_of, leads
from quantseg.data.heads.instances.resampling import Patch, resized
from quantseg.data.instances import Instances
from quantseg.data.values import InputRecipe, OutputRecipe
from quantseg.graph import TensorSpec

_Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Queries and classes."""


@final
class QueryMasks:
    """See InstanceHead."""

    name = "query-masks"
    gives_numbers = True
    overlapping = True

    def recognises(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> bool:
        """Logits and masks of as many queries; the masks keep the image's aspect ratio."""
        found = _find(recipe, outputs, given.size)
        return found is not None and found[0].shape[1] == found[1].shape[1]

    def complete(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
        """The output that is named holds the masks. Without names the last of several logits means "no object"."""
        found = _find(recipe, outputs, given.size)
        if found is None:
            reading.refuse(self.name, outputs, recipe.name)
        logits, masks = found
        width, named = logits.shape[2], len(recipe.classes)
        if width is None:
            if not named:
                raise reading.unknown_classes(self.name, logits)
            return reading.completed(recipe, self.name, masks, None, given)
        count = named if width in (named, named + 1) and named else max(width - 1, 1)
        return reading.completed(recipe, self.name, masks, count, given)

    def outputs(self, recipe: OutputRecipe, specs: Sequence[TensorSpec]) -> tuple[str, ...]:
        """Class logits, masks."""
        found = _find(recipe, specs, recipe.size)
        if found is None:
            reading.refuse(self.name, specs, recipe.name)
        return tuple(spec.name for spec in found)

    def class_names(self, classes: tuple[str, ...], count: int) -> tuple[str, ...]:
        """The recipe's names, then "class 3" and so on."""
        return maps.class_names(classes, count)

    def class_count(self, outputs: Sequence[Array], recipe: OutputRecipe) -> int:
        """The number of names in the recipe."""
        return len(recipe.classes)

    def instances(self, outputs: Sequence[Array], recipe: OutputRecipe, lowest: float) -> tuple[Instances, ...]:
        """See InstanceHead."""
        size = reading.size_in(recipe)
        return tuple(_instances(image, size, lowest) for image in _images(outputs, recipe))

    def masks(self, outputs: Sequence[Array], recipe: OutputRecipe) -> NDArray[np.bool_]:
        """For each class the union of its instances above the threshold."""
        return reading.unions(self.instances(outputs, recipe, recipe.threshold), recipe)

    def margins(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Margins:
        """See evidence.py; of the pairs of query and class with the highest class scores in these outputs."""
        pairs = tuple(image.best(-np.inf) for image in _images(outputs, recipe))
        return Evidence.of_model(outputs, _DrawQueries(recipe, pairs))

    def losses(self, recipe: OutputRecipe) -> tuple[OutputLoss, ...]:
        """Of logits and of masks, all weighing the same."""
        return OutputLoss(), OutputLoss()

    def fold(self, outputs: Sequence[GraphOutput], recipe: OutputRecipe) -> tuple[Any, OutputRecipe]:
        """Raises PlanError."""
        reading.not_folded(self.name)


@dataclass(frozen=True, eq=False)
class _Queries:
    """The queries of one image: scores (queries, classes), masks as logits (queries, h, w).

    weighted: whether an instance's score is also of its mask's quality.
    """

    scores: F32
    masks: F32
    weighted: bool

    def best(self, lowest: float) -> _Pairs:
        """The MOST pairs of the highest class scores above `lowest`, first the highest."""
        flat = self.scores.reshape(-1)
        order = by_score(flat)[:MOST]
        queries, classes = np.divmod(order[flat[order] > lowest], self.scores.shape[1])
        return queries, classes

    def quality(self, logits: F32) -> float:
        """The mean certainty of the pixels that a mask covers; 1 where it does not count."""
        if not self.weighted:
            return 1.0
        inside = logits[logits > 0]
        return float(reading.sigmoid(inside).mean(dtype=np.float64)) if inside.size else 0.0


@dataclass(frozen=True)
class _DrawQueries:
    """Draws the evidence of some pairs of query and class of each image."""

    recipe: OutputRecipe
    pairs: tuple[_Pairs, ...]

    def __call__(self, outputs: Sequence[Array]) -> tuple[F32, F32]:
        count, threshold = len(self.recipe.classes), self.recipe.threshold
        grid = grid_of(reading.size_in(self.recipe), count)
        images = list(map(self._soft, _images(outputs, self.recipe), self.pairs, (grid for _ in self.pairs)))
        own = [soft.scores - np.float32(threshold) for soft in images]
        return leads(images, count, grid, threshold), np.concatenate(own)

    @staticmethod
    def _soft(image: _Queries, pairs: _Pairs, grid: tuple[int, int]) -> Soft:
        queries, classes = pairs
        logits = {query: resized(image.masks[query], grid) for query in np.unique(queries)}
        quality = np.array([image.quality(logits[query]) for query in queries], np.float32)
        soft = {query: reading.sigmoid(values) for query, values in logits.items()}
        masks = np.array([soft[query] for query in queries], np.float32).reshape(-1, *grid)
        return Soft(image.scores[queries, classes] * quality, classes, masks)


def _instances(image: _Queries, size: tuple[int, int], lowest: float) -> Instances:
    queries, classes = image.best(lowest)
    covered, quality = dict[int, NDArray[np.bool_]](), dict[int, float]()
    for query in np.unique(queries).tolist():
        logits = resized(image.masks[query], size)
        covered[query], quality[query] = logits > 0, image.quality(logits)
    scores = image.scores[queries, classes] * np.array([quality[query] for query in queries.tolist()], np.float32)
    order = by_score(scores)
    order = order[scores[order] > lowest]
    whole = slice(0, size[0]), slice(0, size[1])
    patches = [Patch(*whole, covered[query]) for query in queries[order].tolist()]
    return reading.drawn(patches, classes[order], scores[order], size)


def _images(outputs: Sequence[Array], recipe: OutputRecipe) -> list[_Queries]:
    """The queries of each image of a batch. Raises RecipeError where the arrays do not fit each other."""
    if len(outputs) != 2 or outputs[0].ndim != 3 or outputs[1].ndim != 4:
        raise reading.misfit(recipe, outputs)
    logits, masks = outputs[0].astype(np.float64), reading.bounded(outputs[1])
    count = len(recipe.classes)
    if logits.shape[:2] != masks.shape[:2] or logits.shape[2] not in (count, count + 1) or 0 in masks.shape[2:]:
        raise reading.misfit(recipe, outputs)
    if logits.shape[2] == count:
        return [_Queries(*image, weighted=False) for image in zip(reading.sigmoid(logits), masks, strict=True)]
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    scores = (powers / powers.sum(axis=2, keepdims=True))[:, :, :count].astype(np.float32)
    return [_Queries(*image, weighted=True) for image in zip(scores, masks, strict=True)]


def _find(
    recipe: OutputRecipe, outputs: Sequence[TensorSpec], size: tuple[int, int] | None
) -> tuple[TensorSpec, TensorSpec] | None:
    """Class logits and masks. size: of the input, which is that of no logits."""
    real = [spec for spec in outputs if reading.is_real(spec)]
    for masks in (spec for spec in real if len(spec.shape) == 4 and recipe.name in (None, spec.name)):
        for logits in (spec for spec in real if len(spec.shape) == 3):
            queries = (logits.shape[1], masks.shape[1])
            if size is not None and (reading.is_plain_map(logits, size) or not reading.image_like(masks, size)):
                continue
            if None in queries or queries[0] == queries[1]:
                return logits, masks
    return None
