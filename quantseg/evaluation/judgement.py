"""The judgement of an int8 model: whether it keeps the float model's masks, where it is worst, and how far to trust it.

Five figures are judged, each by two bounds. Within the first the masks are kept; beyond the second they are lost. The
level of the whole is that of its worst figure, but for four rules. Where labels show no loss, masks that changed are
at most LOSES_SOME: the labels know better than the float model. A class of few pixels (RARE), and an image in which few
pixels changed (FEW_CHANGED), are at most LOSES_SOME: a handful of pixels decides their IoU. An image in which less
changed than a SPECK of what the model looks for keeps its masks. Where the float masks are one class on every pixel,
nothing is judged: UNKNOWN.

Why these bounds. Of 129 int8 forms of thirteen models with labels (reports/benchmarks/accuracy.md), those whose
agreement is 95 % or more lost at most 0.33 points of mIoU, those from 85 to 95 % at most 1.12, the others up to 3.38.
0.5 points are what `search` allows by default.

Of a model of instances not its masks but its instances are judged: see instance_judgement.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from quantseg.evaluation.agreement import Evaluation, ImageResult
from quantseg.evaluation.instance_judgement import InstanceJudgement, judge_instances
from quantseg.evaluation.levels import KEEPS, LEVELS, UNKNOWN, LevelBounds, at_most_some, overall

FEW_IMAGES = 8
"""With fewer judged images a judgement says so."""
RARE = 1e-4
"""A class on a smaller share of the pixels, in both models' masks, is rare."""
FEW_CHANGED = 0.05
"""An image is lost only if at least this share of its pixels changed."""
SPECK = 0.01
"""Changed pixels are a speck below this part of the area that the smallest class, if not rare, has in the mean."""


AGREEMENT = LevelBounds(0.95, 0.85)
"""Mean IoU of the int8 masks with the float masks."""
CLASS_IOU = LevelBounds(0.80, 0.50)
"""IoU of one class with the float masks."""
IMAGE_AGREEMENT = LevelBounds(0.80, 0.50)
"""Mean IoU of one image's masks."""
POINTS = LevelBounds(0.5, 2.0, falling=False)
"""Points of mIoU lost against the labels."""
CLASS_POINTS = LevelBounds(2.0, 5.0, falling=False)
"""Points of IoU that one class loses against the labels."""


@dataclass(frozen=True)
class JudgedClass:
    """A class.

    iou: with the float masks, 0…1. share: of the judged pixels, the larger of both masks'; None if unknown.
    """

    name: str
    iou: float
    share: float | None = None


@dataclass(frozen=True)
class LostClass:
    """A class and the points of IoU that it loses against the labels."""

    name: str
    points: float


@dataclass(frozen=True)
class MaskJudgement:
    """How well an int8 model keeps the masks.

    level: of LEVELS, or UNKNOWN. images: those that were judged. seen: how many of them the model was calibrated on;
    None if that is unknown. agreement: mean IoU with the float masks. worst_class, worst_image: with the float masks;
    None where there is none. points_lost: of mIoU against the labels, negative for a gain; None without labels.
    most_lost: the class that loses most against the labels. float_iou: the float model's mIoU against the labels.
    classes: how many the model has. absent: those in neither model's masks. only: the class that covers every pixel of
    the float masks, '' if they hold none, None if they are as they should be. gone: classes of the float masks that the
    int8 masks do not hold at all. levels: figure → its level. instances: of a model of instances, which alone are then
    judged; worst_class, worst_image, points_lost and most_lost are None.
    """

    level: str
    images: int
    seen: int | None
    agreement: float
    worst_class: JudgedClass | None
    worst_image: ImageResult | None
    points_lost: float | None
    most_lost: LostClass | None
    float_iou: float | None
    classes: int
    absent: tuple[str, ...]
    only: str | None
    gone: tuple[str, ...]
    levels: Mapping[str, str]
    instances: InstanceJudgement | None = None

    @property
    def is_few(self) -> bool:
        """Whether too few images were judged to rely on it."""
        return self.images < FEW_IMAGES

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values; without `instances` where there are none."""
        values = asdict(self)
        if self.instances is None:
            del values["instances"]
        return values


def judge(evaluation: Evaluation, *, seen: int | None = None) -> MaskJudgement:
    """Judges an evaluation. seen: how many of its images the int8 model was calibrated on; None if unknown."""
    if evaluation.instances is not None:
        return _of_instances(evaluation, judge_instances(evaluation, evaluation.instances), seen)
    least = least_share(evaluation)
    worst_class, worst_image = _worst_class(evaluation), _worst_image(evaluation, least)
    lost, most_lost, float_iou = _against_labels(evaluation)
    levels = {"agreement": AGREEMENT.level(evaluation.agreement)}
    if worst_class is not None:
        levels["worst_class"] = class_level(worst_class.iou, worst_class.share)
    if worst_image is not None:
        levels["worst_image"] = image_level(worst_image, least)
    if lost is not None:
        levels["points_lost"] = POINTS.level(lost)
    if most_lost is not None:
        levels["most_lost"] = CLASS_POINTS.level(most_lost.points)
    only = _only(evaluation)
    recall, precision = (evaluation.between.per_class[key] for key in ("recall", "precision"))
    named = list(zip(evaluation.classes, recall, precision, strict=True))
    return MaskJudgement(
        level=UNKNOWN if only is not None else overall(levels, ("points_lost", "most_lost")),
        images=evaluation.images,
        seen=seen,
        agreement=evaluation.agreement,
        worst_class=worst_class,
        worst_image=worst_image,
        points_lost=lost,
        most_lost=most_lost,
        float_iou=float_iou,
        classes=len(evaluation.classes),
        absent=tuple(name for name, real, int8 in named if real is None and int8 is None),
        only=only,
        gone=tuple(name for name, real, int8 in named if real is not None and int8 is None),
        levels=levels,
    )


def _of_instances(evaluation: Evaluation, judged: InstanceJudgement, seen: int | None) -> MaskJudgement:
    """The judgement of a model of instances, by these alone."""
    assert evaluation.instances is not None
    named = list(zip(evaluation.classes, evaluation.instances.per_class, strict=True))
    real = evaluation.float_scores
    return MaskJudgement(
        level=overall(judged.levels, ("ap_lost",)) if judged.levels else UNKNOWN,
        images=evaluation.images,
        seen=seen,
        agreement=evaluation.agreement,
        worst_class=None,
        worst_image=None,
        points_lost=None,
        most_lost=None,
        float_iou=None if real is None else real.mean_iou,
        classes=len(evaluation.classes),
        absent=tuple(name for name, one in named if not one.reference and not one.candidate),
        only=None if judged.levels else "",
        gone=tuple(name for name, one in named if one.reference and not one.candidate),
        levels=judged.levels,
        instances=judged,
    )


def class_level(iou: float, share: float | None = None) -> str:
    """The level of a class's IoU with the float masks. share: as in JudgedClass."""
    level = CLASS_IOU.level(iou)
    return at_most_some(level) if share is not None and share < RARE else level


def least_share(evaluation: Evaluation) -> float | None:
    """The share of the pixels of the smallest class that is not rare, by the larger of both masks'; None if unknown."""
    return min((share for share in map(max, evaluation.class_shares) if share >= RARE), default=None)


def image_level(image: ImageResult, least: float | None) -> str:
    """The level of one image. least: of `least_share`."""
    if least is not None and image.changed_pixels < SPECK * least:
        return KEEPS
    level = IMAGE_AGREEMENT.level(image.agreement)
    return at_most_some(level) if image.changed_pixels < FEW_CHANGED else level


def _worst_class(evaluation: Evaluation) -> JudgedClass | None:
    """The class of the worst level, of these that of least IoU; of equals the first."""
    shares: Sequence[float | None] = tuple(map(max, evaluation.class_shares)) or [None] * len(evaluation.classes)
    rows = zip(evaluation.classes, evaluation.between.per_class["iou"], shares, strict=True)
    found = [JudgedClass(name, iou, share) for name, iou, share in rows if iou is not None]
    return min(found, key=lambda one: (-LEVELS.index(class_level(one.iou, one.share)), one.iou), default=None)


def _worst_image(evaluation: Evaluation, least: float | None) -> ImageResult | None:
    """The image of the worst level, of these that of least agreement; of equals the first."""
    listed = evaluation.worst(len(evaluation.per_image))
    return min(listed, key=lambda one: -LEVELS.index(image_level(one, least)), default=None)


def _against_labels(evaluation: Evaluation) -> tuple[float | None, LostClass | None, float | None]:
    """Points of mIoU lost, the class that loses most, and the float model's mIoU; None without labels."""
    real, int8 = evaluation.float_scores, evaluation.int8_scores
    if real is None or int8 is None or real.mean_iou is None or int8.mean_iou is None:
        return None, None, None
    rows = zip(evaluation.classes, real.per_class["iou"], int8.per_class["iou"], strict=True)
    drops = [LostClass(name, 100 * (a - b)) for name, a, b in rows if a is not None and b is not None]
    most = max(drops, key=lambda one: one.points, default=None)
    return 100 * (real.mean_iou - int8.mean_iou), most, real.mean_iou


def _only(evaluation: Evaluation) -> str | None:
    """The class on every pixel of the float masks; '' where they hold no class; None otherwise."""
    recall = evaluation.between.per_class["recall"]
    held = [k for k, value in enumerate(recall) if value is not None]
    if not held:
        return ""
    full = not evaluation.class_shares or evaluation.class_shares[held[0]][0] == 1
    return evaluation.classes[held[0]] if len(held) == 1 and full else None
