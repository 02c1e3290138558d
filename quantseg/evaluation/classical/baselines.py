"""Baselines: what classical methods give on the images that a network is judged on, beside the network in two forms.

One pass over the images: each goes through the float and the int8 model and through every method, and its pixels are
counted against the labels. Foreground is every class but the first. What the rules are learnt from is not judged.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.calibration.context import Context
from quantseg.calibration.engines import in_order
from quantseg.data import Dataset, Item, Subset
from quantseg.data.folder import choose
from quantseg.data.heads import head_of
from quantseg.data.masks import resize_nearest
from quantseg.data.recipe import Recipe
from quantseg.evaluation.agreement import Pair
from quantseg.evaluation.classical.rule import ColourRule, class_mask, learnt
from quantseg.evaluation.classical.table import CLASSICAL
from quantseg.evaluation.metrics.confusion import ConfusionMatrix
from quantseg.evaluation.metrics.overlap import Overlap, Values, mean
from quantseg.evaluation.predictions import MAX_CLASSES, Comparison, compare
from quantseg.progress import Track, quiet
from quantseg.runtimes import Session, for_file

FLOAT, INT8 = "float", "int8"
LEARNING = 8
"""At most so many images to learn from, and at most half of all."""
Rules = Mapping[str, ColourRule]
"""Key of CLASSICAL → what it learnt, in the order of the table."""


@dataclass(frozen=True)
class Baseline:
    """One system on the judged images: FLOAT, INT8 or a key of CLASSICAL.

    iou, dice: of each class, 0…1, None for a class that occurs nowhere. foreground_iou, foreground_dice: of all classes
    but the first as one. size: bytes of the model, or of what the method's rule learnt. median_ms: of one image;
    ratio: how many times as fast as FLOAT. Both None where nothing was timed.
    """

    name: str
    iou: Values
    dice: Values
    foreground_iou: float | None
    foreground_dice: float | None
    size: int
    median_ms: float | None = None
    ratio: float | None = None

    @staticmethod
    def of(name: str, counts: ConfusionMatrix, size: int) -> "Baseline":
        """From the pixels of all judged images."""
        overlap, inside = counts.overlap(), foreground(counts)
        return Baseline(name, overlap.iou(), overlap.dice(), inside.iou()[0], inside.dice()[0], size)

    def with_classes(self, count: int) -> "Baseline":
        """The same with a value for each of `count` classes; one that it never saw has none."""
        more: Values = (None,) * (count - len(self.iou))
        return replace(self, iou=(*self.iou, *more), dice=(*self.dice, *more))

    @property
    def mean_iou(self) -> float | None:
        """Over the classes that occur in the labels or in the masks."""
        return mean(self.iou)

    @property
    def mean_dice(self) -> float | None:
        """As `mean_iou`."""
        return mean(self.dice)


@dataclass(frozen=True)
class Baselines:
    """The rows of all systems. classes: their names. learnt_from, images: how many images were learnt from and judged.

    unseen: classes that no image to learn from holds, so that no method can name them. left_out: why there are no rows;
    else empty.
    """

    classes: tuple[str, ...] = ()
    learnt_from: int = 0
    images: int = 0
    rows: tuple[Baseline, ...] = ()
    unseen: tuple[str, ...] = ()
    left_out: str = ""

    @property
    def methods(self) -> tuple[Baseline, ...]:
        """The rows that are no network's."""
        return tuple(row for row in self.rows if row.name not in (FLOAT, INT8))

    def to_json(self) -> dict[str, Any]:
        """Values for JSON."""
        means = [{"mean_iou": row.mean_iou, "mean_dice": row.mean_dice} for row in self.rows]
        rows = [{**asdict(row), **more} for row, more in zip(self.rows, means, strict=True)]
        return {**asdict(self), "rows": rows}


def parted(data: Dataset, recipe: Recipe) -> tuple[Subset, Subset] | str:
    """The images to learn from and those to judge on, or why there are no baselines on these data, as a line.

    Evenly spread: half of the images, at most LEARNING. recipe: completed. Raises DataError.
    """
    total = len(data.names)
    if head_of(recipe.output).overlapping:
        return "the classes of the model overlap, and classical methods give each pixel one class"
    if total < 2:
        return "one image alone: methods learn the colours of the classes from some images and are judged on others"
    first = data.load(0)
    if first.image is None:
        return "the data are arrays, not images"
    if first.mask is None:
        return "without labels nothing tells which part of an image is which class; put masks beside the images"
    learning = choose(tuple(range(total)), min(LEARNING, total // 2))
    judged = tuple(index for index in range(total) if index not in learning)
    return Subset(data, learning), Subset(data, judged)


def learn(data: Dataset, recipe: Recipe, *, track: Track = quiet) -> Rules:
    """The rule of every method, from labelled images. recipe: completed. Raises DataError, MissingExtraError."""
    names, ignored = data.names, recipe.output.ignore_index
    images = [_labelled(data.load(index), ignored) for index in range(len(names))]
    classes = len(recipe.output.classes) or MAX_CLASSES
    learning = track(CLASSICAL.items(), total=len(CLASSICAL), what="learn colours")
    return {name: learnt(method, images, classes) for name, method in learning}


def judge(rules: Rules, pair: Pair, data: Dataset, recipe: Recipe, context: Context) -> Mapping[str, ConfusionMatrix]:
    """Name → pixels against the labels, of both networks and every method that has a rule.

    data: labelled images of which none was learnt from; those of `pair.folded` are the same. recipe: completed. Spread
    over the context's engine. Raises ModelError and DataError as an evaluation does.
    """
    names = (FLOAT, INT8, *rules)
    totals = dict.fromkeys(names, ConfusionMatrix.empty())
    results = in_order(context.engine(_Scoring(rules, pair, data, recipe), range(len(data.names))))
    for counted in context.track(results, total=len(data.names), what="judge classical methods"):
        totals = {name: totals[name] + counted[name] for name in names}
    return totals


def foreground(counts: ConfusionMatrix) -> Overlap:
    """The overlap of all classes but the first, taken as one class."""
    inside = counts.counts
    sums = inside[1:, 1:].sum(), inside[1:].sum(), inside[:, 1:].sum()
    return Overlap(*(np.array([one], np.int64) for one in sums))


def on_part(pair: Pair, part: Subset) -> Pair:
    """The pair for these images alone: also a folded model's own inputs are of them."""
    if pair.folded is None:
        return pair
    return replace(pair, folded=replace(pair.folded, dataset=Subset(pair.folded.dataset, part.indices)))


@dataclass(frozen=True)
class _Scoring:
    """Opens both models in a worker. Picklable."""

    rules: Rules
    pair: Pair
    data: Dataset
    recipe: Recipe

    def __call__(self) -> Callable[[int], tuple[int, Mapping[str, ConfusionMatrix]]]:
        pair, models = self.pair, (self.pair.reference, self.pair.candidate)
        sessions = [
            for_file(runtime, model).open(model, threads=pair.threads, spinning=False)
            for runtime, model in zip(pair.runtimes, models, strict=True)
        ]
        return lambda index: (index, self._counted(index, sessions))

    def _counted(self, index: int, sessions: Sequence[Session]) -> Mapping[str, ConfusionMatrix]:
        reference, candidate = sessions
        seen = compare(reference, candidate, self.data, self.recipe, index, folded=self.pair.folded)
        masks = {FLOAT: seen.reference.masks[0], INT8: seen.candidate.masks[0]}
        masks |= {name: _fitted(self.rules[name], name, seen) for name in self.rules}
        return {name: self._against(seen, mask) for name, mask in masks.items()}

    def _against(self, seen: Comparison, mask: NDArray[Any]) -> ConfusionMatrix:
        truth, ignored = seen.reference.truth, self.recipe.output.ignore_index
        if truth is None:
            return ConfusionMatrix.empty()
        classes = max(seen.classes, int(mask.max()) + 1)
        return ConfusionMatrix.from_masks(truth[0], mask, classes, ignored)


def _fitted(rule: ColourRule, name: str, seen: Comparison) -> NDArray[np.int64]:
    """The method's mask of the image, at the size of the networks' masks."""
    image, size = seen.reference.image, seen.reference.masks.shape[-2:]
    assert image is not None
    return resize_nearest(class_mask(CLASSICAL[name], rule, image), (size[0], size[1]))


def _labelled(item: Item, ignored: int | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Image and class ids, −1 where they are ignored."""
    assert item.image is not None
    assert item.mask is not None
    return item.image, item.mask if ignored is None else np.where(item.mask == ignored, -1, item.mask)
