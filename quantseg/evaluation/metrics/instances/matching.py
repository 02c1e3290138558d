"""Matches the instances of two models one to one: pairs of the same class, those with the highest mask IoU first.

Greedy by descending IoU: a pair is taken if neither of its instances is taken yet; of equal IoUs the pair whose
instances come first. So the pairs at a higher IoU are the first of those at a lower one, and one matching serves all
bounds. Where the masks of one model do not overlap, each instance has at most one partner above IoU 0.5, and the greedy
matching is the best one (Kirillov et al., arXiv:1801.00868).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantseg.data.instances import Instances
from quantseg.evaluation.metrics.instances import LOOSE


@dataclass(frozen=True)
class MatchedPair:
    """Two matched instances, by their numbers in the float (`reference`) and the int8 model's (`candidate`)."""

    reference: int
    candidate: int
    iou: float


def matched(reference: Instances, candidate: Instances, least: float = LOOSE) -> tuple[MatchedPair, ...]:
    """The pairs whose mask IoU is at least `least`, by descending IoU. Crowds and empty masks are matched with none.

    Both have masks of one size. Raises ValueError where they have not.
    """
    if len(reference) and len(candidate) and reference.masks.shape[1:] != candidate.masks.shape[1:]:
        raise ValueError(f"masks of {reference.masks.shape[1:]} and of {candidate.masks.shape[1:]} pixels")
    possible = [pair for pair in _overlapping(reference, candidate) if pair.iou >= least]
    used: tuple[set[int], set[int]] = set(), set()
    found = []
    for pair in sorted(possible, key=lambda pair: (-pair.iou, pair.reference, pair.candidate)):
        if pair.reference not in used[0] and pair.candidate not in used[1]:
            used[0].add(pair.reference)
            used[1].add(pair.candidate)
            found.append(pair)
    return tuple(found)


def _overlapping(reference: Instances, candidate: Instances) -> Iterator[MatchedPair]:
    """All pairs of the same class that share a pixel. Masks are compared within their common box only."""
    boxes = _boxes(reference.masks), _boxes(candidate.masks)
    areas = [np.count_nonzero(one.masks, axis=(1, 2)) for one in (reference, candidate)]
    alike = reference.classes[:, None] == candidate.classes[None]
    alike &= ~(reference.crowd[:, None] | candidate.crowd[None])
    low = np.maximum(boxes[0][:, None, :2], boxes[1][None, :, :2])
    high = np.minimum(boxes[0][:, None, 2:], boxes[1][None, :, 2:])
    for i, j in np.argwhere(alike & (low < high).all(axis=2)).tolist():
        (top, left), (bottom, right) = low[i, j], high[i, j]
        common = np.s_[top:bottom, left:right]
        both = int(np.count_nonzero(reference.masks[i][common] & candidate.masks[j][common]))
        if both:
            yield MatchedPair(i, j, both / (int(areas[0][i]) + int(areas[1][j]) - both))


def _boxes(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(count, 4): first row and column, and those behind the last; zeros for an empty mask."""
    boxes = np.zeros((len(masks), 4), np.int64)
    for number, mask in enumerate(masks):
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if len(rows):
            boxes[number] = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    return boxes
