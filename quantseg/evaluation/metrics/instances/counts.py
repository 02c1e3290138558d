"""Counts of matched instances by class: a tally as those of quantseg.evaluation.metrics.

IoU and Dice of a matched pair are those of its two masks, Dice = 2·IoU/(1 + IoU), so Dice/2 ≤ IoU ≤ Dice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quantseg.data.instances import Instances
from quantseg.evaluation.metrics.instances import LOOSE, TIGHT
from quantseg.evaluation.metrics.instances.matching import MatchedPair


@dataclass(frozen=True)
class MatchCounts:
    """Instances of one class. A monoid under +.

    reference, candidate: how many the float and the int8 model find. ious: mask IoU of each pair matched at LOOSE.
    """

    reference: int = 0
    candidate: int = 0
    ious: tuple[float, ...] = ()

    def __add__(self, other: "MatchCounts") -> "MatchCounts":
        return MatchCounts(
            self.reference + other.reference, self.candidate + other.candidate, (*self.ious, *other.ious)
        )

    def matched(self, iou: float = LOOSE) -> int:
        """How many pairs have at least this mask IoU, which is LOOSE or more."""
        return sum(one >= iou for one in self.ious)

    def kept(self, iou: float = LOOSE) -> float | None:
        """The share of the float model's instances that are matched; None where it finds none."""
        return self.matched(iou) / self.reference if self.reference else None

    @property
    def lost(self) -> int:
        """The float model's instances without a partner."""
        return self.reference - self.matched()

    @property
    def gained(self) -> int:
        """The int8 model's instances without a partner."""
        return self.candidate - self.matched()

    @property
    def gained_share(self) -> float | None:
        """The share of the int8 model's instances without a partner; None where it finds none."""
        return self.gained / self.candidate if self.candidate else None

    @property
    def mean_iou(self) -> float | None:
        """Mean mask IoU of the matched pairs; None where there is none."""
        return math.fsum(self.ious) / len(self.ious) if self.ious else None

    @property
    def mean_dice(self) -> float | None:
        """Mean Dice of the matched pairs; None where there is none."""
        return math.fsum(2 * iou / (1 + iou) for iou in self.ious) / len(self.ious) if self.ious else None

    def to_json(self) -> dict[str, Any]:
        """The counts and figures as plain values."""
        return {
            "float": self.reference,
            "int8": self.candidate,
            "matched": {str(iou): self.matched(iou) for iou in (LOOSE, TIGHT)},
            "kept": {str(iou): self.kept(iou) for iou in (LOOSE, TIGHT)},
            "lost": self.lost,
            "gained": self.gained,
            "mean_iou": self.mean_iou,
            "mean_dice": self.mean_dice,
        }


_NONE = MatchCounts()
"""Of most classes an image has no instance."""


def counts_by_class(
    reference: Instances, candidate: Instances, pairs: Sequence[MatchedPair], classes: int
) -> tuple[MatchCounts, ...]:
    """The counts of one image for each class. pairs: of `matched`."""
    counts = [_NONE] * classes
    for k in sorted({*reference.classes.tolist(), *candidate.classes.tolist()}):
        ious = tuple(pair.iou for pair in pairs if reference.classes[pair.reference] == k)
        counts[k] = MatchCounts(int((reference.classes == k).sum()), int((candidate.classes == k).sum()), ious)
    return tuple(counts)
