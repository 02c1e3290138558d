"""The rule that gives segments their classes, learnt from a few labelled images: by mean colour.

A method finds parts, not classes. The mean colours of its segments on the learning images are grouped (k-means), and
each group gets the class with which the mean IoU on those images is largest: first the class of most of its pixels,
then, as long as it helps, another. A segment of another image takes the class of the nearest group.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import DataError
from quantseg.evaluation.classical.clustering import cluster, means, nearest
from quantseg.evaluation.classical.colours import Image, mean_colours
from quantseg.evaluation.classical.segments import Method, Segments, segmented
from quantseg.evaluation.metrics.confusion import ConfusionMatrix

F64 = NDArray[np.float64]
Counts = NDArray[np.int64]
GROUPS = 24
"""Most groups of colours."""
_MOST_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class ColourRule:
    """Groups of colours and their classes. centres: L*a*b* (n, 3). classes: (n,). seen: the classes learnt from."""

    centres: NDArray[np.float32]
    classes: NDArray[np.uint16]
    seen: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of what was learnt."""
        return self.centres.nbytes + self.classes.nbytes

    def mask(self, image: Image, segments: Segments) -> NDArray[np.int64]:
        """Class ids (height, width): each segment's by its mean colour."""
        colours, _ = mean_colours(image, segments)
        group = nearest(colours, self.centres.astype(np.float64))
        return self.classes[group].astype(np.int64)[segments]


@dataclass(frozen=True, eq=False)
class Coloured:
    """The segments of labelled images. colours: L*a*b* (n, 3). counts: pixels of each class in each, (n, classes)."""

    colours: F64
    counts: Counts

    @staticmethod
    def of(segments: Segments, image: Image, mask: NDArray[np.int64], classes: int) -> "Coloured":
        """Those of one image; pixels of the mask outside 0…classes − 1 count nowhere."""
        colours, _ = mean_colours(image, segments)
        known = (mask >= 0) & (mask < classes)
        pairs = segments[known] * classes + mask[known]
        return Coloured(colours, np.bincount(pairs, minlength=len(colours) * classes).reshape(-1, classes))

    @staticmethod
    def joined(parts: Iterable["Coloured"]) -> "Coloured":
        """Those of all parts, without segments of which no pixel counts."""
        every = list(parts)
        colours, counts = (np.concatenate([getattr(one, name) for one in every]) for name in ("colours", "counts"))
        counted = counts.sum(axis=1) > 0
        return Coloured(colours[counted], counts[counted])


def class_mask(method: Method, rule: ColourRule, image: Image) -> NDArray[np.int64]:
    """The class ids (height, width) that a method and its rule give an image. Raises as `segmented` does."""
    return rule.mask(image, segmented(method, image, len(rule.seen)))


def learnt(method: Method, images: Sequence[tuple[Image, NDArray[np.int64]]], classes: int) -> ColourRule:
    """The rule of a method, from labelled images: pairs of an image and its class ids, of one size.

    classes: ids from there on count nowhere. Raises DataError where no pixel counts, and as `segmented` does.
    """
    seen = _occurring(images, classes)
    if not seen:
        raise DataError("no pixel of the images to learn from has a class; correct their masks, or give other images")
    return _rule(
        Coloured.joined(
            Coloured.of(segmented(method, image, len(seen)), image, mask, classes) for image, mask in images
        ),
        seen,
    )


def _occurring(images: Sequence[tuple[Image, NDArray[np.int64]]], classes: int) -> tuple[int, ...]:
    """The classes that occur, sorted."""
    found = {int(one) for _, mask in images for one in np.unique(mask)}
    return tuple(sorted(one for one in found if 0 <= one < classes))


def _rule(parts: Coloured, seen: tuple[int, ...]) -> ColourRule:
    """Groups of like colours, weighted so that each class has the same weight, with their classes."""
    pixels = np.maximum(parts.counts.sum(axis=0), 1)
    weights = (parts.counts / pixels).sum(axis=1)
    groups = cluster(parts.colours, weights, GROUPS)
    present = int(groups.max()) + 1
    centres = means(parts.colours, weights, groups, np.zeros((present, parts.colours.shape[1])))
    counts = np.zeros((present, parts.counts.shape[1]), np.int64)
    np.add.at(counts, groups, parts.counts)
    used = counts.sum(axis=1) > 0
    classes = assigned(counts[used])
    return ColourRule(centres[used].astype(np.float32), classes.astype(np.uint16), seen)


def assigned(counts: Counts) -> NDArray[np.int64]:
    """A class for each group such that no other class for a single group gives a larger mean IoU.

    counts: pixels of each class in each group, (groups, classes). The first of equals.
    """
    classes = np.asarray(counts.argmax(axis=1), np.int64)
    best = _mean_iou(counts, classes)
    for _ in range(_MOST_ROUNDS):
        before = classes.copy()
        for group in range(len(counts)):
            for other in range(counts.shape[1]):
                trial = classes.copy()
                trial[group] = other
                reached = _mean_iou(counts, trial)
                if reached > best:
                    best, classes = reached, trial
        if np.array_equal(classes, before):
            break
    return classes


def _mean_iou(counts: Counts, classes: NDArray[np.int64]) -> float:
    confusion = np.zeros((counts.shape[1],) * 2, np.int64)
    np.add.at(confusion.T, classes, counts)
    return ConfusionMatrix(confusion).mean_iou() or 0.0
