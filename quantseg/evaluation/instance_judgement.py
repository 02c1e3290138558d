"""The judgement of an int8 model's instances: how many of the float model's it keeps, and what that costs in AP.

Four figures are judged, each by two bounds: instances kept (matched at mask IoU 0.5), kept closely (at 0.9), gained
(the int8 model's without a partner) and points of mask AP lost against the labels. The class that keeps least is judged
too. The level of the whole is that of its worst figure, but for two rules. Where labels show no loss of AP, instances
that changed are at most LOSES_SOME. A single instance, and a class of FEW, decide at most LOSES_SOME.

Why these bounds. 0.3 points of AP and 98 % of the instances are what a balanced model is to keep; an instance whose
score stands at the threshold comes or goes with any change of it, so of thousands a few always do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from quantseg.evaluation.agreement import Evaluation
from quantseg.evaluation.instances import InstanceEvaluation, ap_of
from quantseg.evaluation.levels import KEEPS, LEVELS, LevelBounds, at_most_some
from quantseg.evaluation.metrics.instances import LOOSE, TIGHT
from quantseg.evaluation.metrics.instances.counts import MatchCounts

FEW = 10
"""A class of fewer instances does not lose the whole."""

KEPT = LevelBounds(0.98, 0.90)
"""Share of the float model's instances that are matched at mask IoU 0.5."""
KEPT_CLOSELY = LevelBounds(0.95, 0.80)
"""Share of them that are matched at 0.9."""
GAINED = LevelBounds(0.02, 0.10, falling=False)
"""Share of the int8 model's instances without a partner."""
CLASS_KEPT = LevelBounds(0.95, 0.80)
"""Share of one class's instances that are matched at 0.5."""
AP_POINTS = LevelBounds(0.3, 2.0, falling=False)
"""Points of mask AP lost against the labels."""


@dataclass(frozen=True)
class KeptClass:
    """A class. kept: the share of the float model's instances that are matched at 0.5. count: of these instances."""

    name: str
    kept: float
    count: int


@dataclass(frozen=True)
class ChangedImage:
    """An image and its instances without a partner on either side."""

    name: str
    lost: int
    gained: int


@dataclass(frozen=True)
class InstanceJudgement:
    """How well an int8 model keeps the instances.

    reference, candidate: how many the float and the int8 model find. kept, closely: the share of the float model's that
    is matched at mask IoU 0.5 and 0.9; None where it finds none. lost, gained: without a partner. worst_class: that
    keeps least. worst_image: with the most lost and gained. ap_lost: points of mask AP, negative for a gain; None
    without labels or without the extra. float_ap, int8_ap: 0…1. note: why there is no AP, or ''. levels: figure → its
    level, empty where nothing is judged.
    """

    reference: int
    candidate: int
    kept: float | None
    closely: float | None
    lost: int
    gained: int
    worst_class: KeptClass | None = None
    worst_image: ChangedImage | None = None
    ap_lost: float | None = None
    float_ap: float | None = None
    int8_ap: float | None = None
    note: str = ""
    levels: Mapping[str, str] = field(default_factory=dict)


def judge_instances(evaluation: Evaluation, found: InstanceEvaluation) -> InstanceJudgement:
    """Judges the instances of an evaluation. Nothing is judged where the float model finds none."""
    total, before, after = found.total, ap_of(evaluation.float_scores), ap_of(evaluation.int8_scores)
    lost = None if before is None or after is None else 100 * (before - after)
    worst_class, changed = _worst_class(evaluation, found), found.worst(1)
    levels = {}
    if total.reference:
        levels = {
            "kept": kept_level(total),
            "closely": KEPT_CLOSELY.level(total.kept(TIGHT) or 0.0),
            "gained": gained_level(total),
        }
        if worst_class is not None:
            levels["worst_class"] = class_kept_level(worst_class.kept, worst_class.count)
        if lost is not None:
            levels["ap_lost"] = AP_POINTS.level(lost)
    return InstanceJudgement(
        reference=total.reference,
        candidate=total.candidate,
        kept=total.kept(LOOSE),
        closely=total.kept(TIGHT),
        lost=total.lost,
        gained=total.gained,
        worst_class=worst_class,
        worst_image=ChangedImage(changed[0].name, changed[0].total.lost, changed[0].total.gained) if changed else None,
        ap_lost=lost,
        float_ap=before,
        int8_ap=after,
        note=found.note,
        levels=levels,
    )


def kept_level(counts: MatchCounts) -> str:
    """The level of the share of the float model's instances that is kept; KEEPS where it finds none."""
    level = KEPT.level(counts.kept() or 0.0) if counts.reference else KEEPS
    return at_most_some(level) if counts.lost <= 1 else level


def gained_level(counts: MatchCounts) -> str:
    """The level of the share of the int8 model's instances that has no partner."""
    level = GAINED.level(counts.gained_share or 0.0)
    return at_most_some(level) if counts.gained <= 1 else level


def class_kept_level(kept: float, count: int) -> str:
    """The level of one class. count: of the float model's instances."""
    level = CLASS_KEPT.level(kept)
    return at_most_some(level) if count < FEW else level


def _worst_class(evaluation: Evaluation, found: InstanceEvaluation) -> KeptClass | None:
    """The class of the worst level, of these that which keeps least; of equals the first."""
    rows = zip(evaluation.classes, found.per_class, strict=True)
    known = [KeptClass(name, one.kept() or 0.0, one.reference) for name, one in rows if one.reference]
    return min(known, key=lambda one: (-LEVELS.index(class_kept_level(one.kept, one.count)), one.kept), default=None)
