"""Whether masks belong to the images: what a model's masks tell of them, beside what they tell of other images' masks.

A mask of the same image shares information with the prediction whatever the numbers of its classes are; a mask of
another image, or of another set, shares no more than any two masks of such scenes do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.masks import resize_nearest

Array = NDArray[Any]
LEAST_SHARED = 0.02
"""Below this share of information a mask and a prediction have nothing to do with each other."""
BESIDE_OTHERS = 1.15
"""By so much more a prediction must tell of its own image's mask than of other images'."""


@dataclass(frozen=True)
class Likeness:
    """How predictions and masks go together.

    accuracy: share of equal pixels, ignored ones left out. renamed: the same, if each predicted class counted as the
    class that its pixels have most often. own, other: normalised mutual information with the mask of the same image,
    and with those of the other images (None for one image).
    """

    accuracy: float
    renamed: float
    own: float
    other: float | None

    @property
    def belong(self) -> bool:
        """Whether the masks are of these images."""
        return self.own >= LEAST_SHARED and (self.other is None or self.own > BESIDE_OTHERS * self.other)

    @property
    def share_numbers(self) -> bool:
        """Whether the ids of the masks mean what the model's do."""
        return self.accuracy > 0.5 * self.renamed or self.renamed - self.accuracy < 0.25


def likeness(predicted: Sequence[Array], truths: Sequence[Array], classes: int, ignored: int | None) -> Likeness | None:
    """The likeness of class maps (…, H, W) to masks (H, W) of ids below `classes`; None where they tell nothing.

    They tell nothing where the predictions, or the masks, are of one class.
    """
    maps = [np.asarray(one)[0] if one.ndim == 3 else np.asarray(one) for one in predicted]
    sizes = [(len(one), one.shape[-1]) for one in maps]
    fitted = [resize_nearest(truth, size) for size, truth in zip(sizes, truths, strict=True)]
    own = [_counts(one, truth, classes, ignored) for one, truth in zip(maps, fitted, strict=True)]
    total = sum(own)
    if not isinstance(total, np.ndarray) or not total.sum() or min(map(_present, (total, total.T))) < 2:
        return None
    turned = [fitted[(k + shift) % len(fitted)] for shift in range(1, len(fitted)) for k in range(len(fitted))]
    others = [_counts(maps[k % len(maps)], truth, classes, ignored) for k, truth in enumerate(turned)]
    pixels = total.sum()
    return Likeness(
        accuracy=float(np.trace(total) / pixels),
        renamed=float(total.max(axis=1).sum() / pixels),
        own=_shared(total),
        other=_shared(sum(others)) if others else None,
    )


def _present(counts: Array) -> int:
    return int(np.count_nonzero(counts.sum(axis=0)))


def _counts(predicted: Array, truth: Array, classes: int, ignored: int | None) -> Array:
    """How often each predicted class (row) meets each id of the mask (column)."""
    valid = (truth >= 0) & (truth < classes) & (predicted >= 0) & (predicted < classes)
    if ignored is not None:
        valid &= truth != ignored
    pairs = predicted[valid].astype(np.int64) * classes + truth[valid].astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def _shared(counts: Any) -> float:
    """Mutual information over the smaller of both entropies, 0…1."""
    p = np.asarray(counts, np.float64)
    p = p / p.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.nansum(np.where(p > 0, p * np.log(p / np.outer(rows, columns)), 0))
        entropies = [-np.nansum(np.where(q > 0, q * np.log(q), 0)) for q in (rows, columns)]
    return float(information / max(min(entropies), 1e-9))
