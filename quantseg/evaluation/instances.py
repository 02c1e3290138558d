"""The instances of the int8 model beside those of the float model and the labels, over a data set.

An image leaves a record: what was matched, and all instances as run lengths. Records are joined in the order of the
images; the figures are computed of all of them at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from quantseg.data.instances import Instances
from quantseg.errors import MissingExtraError
from quantseg.evaluation.metrics.instances import LOOSE, TIGHT
from quantseg.evaluation.metrics.instances.counts import MatchCounts, counts_by_class
from quantseg.evaluation.metrics.instances.encoding import EncodedInstance, encoded
from quantseg.evaluation.metrics.instances.matching import MatchedPair, matched
from quantseg.evaluation.metrics.instances.precision import (
    PER_CLASS,
    SUMMARY,
    AveragePrecision,
    JudgedImage,
    average_precision,
)
from quantseg.evaluation.metrics.scores import Scores
from quantseg.evaluation.predictions import Comparison, Prediction


@dataclass(frozen=True)
class ImageInstances:
    """One image. matched: by class."""

    name: str
    matched: tuple[MatchCounts, ...]

    @property
    def total(self) -> MatchCounts:
        """Over all classes."""
        return reduce(add, self.matched, MatchCounts())


@dataclass(frozen=True)
class InstanceRecord:
    """What one image leaves. sure: how many of the float model's instances, the first, are above its threshold.

    labels: None where the image has none.
    """

    image: ImageInstances
    size: tuple[int, int]
    labels: tuple[EncodedInstance, ...] | None
    reference: tuple[EncodedInstance, ...]
    candidate: tuple[EncodedInstance, ...]
    sure: int


@dataclass(frozen=True)
class InstanceEvaluation:
    """The int8 model's instances matched with the float model's. AP and AR are in the Scores of an Evaluation.

    per_class: in the order of the classes. per_image: in the order of the data set. note: why there is no AP; '' where
    there is.
    """

    per_class: tuple[MatchCounts, ...]
    per_image: tuple[ImageInstances, ...]
    note: str = ""

    @property
    def total(self) -> MatchCounts:
        """Over all classes."""
        return reduce(add, self.per_class, MatchCounts())

    def worst(self, count: int) -> tuple[ImageInstances, ...]:
        """The `count` images with the most instances lost or gained, the worst first; images without any are left out.

        Of equals the one with the lower mean IoU is first.
        """
        wrong = [(one.total, one) for one in self.per_image if one.total.lost or one.total.gained]
        listed = sorted(wrong, key=lambda two: (-two[0].lost - two[0].gained, two[0].mean_iou or 0.0, two[1].name))
        return tuple(one for _, one in listed[:count])

    def lines(self, real: Scores | None, int8: Scores | None) -> tuple[str, ...]:
        """The figures in lines of text. real, int8: the models' scores against the labels."""
        total = self.total
        lines = [f"instances: {total.matched()} of {total.reference} matched at mask IoU {LOOSE}, "]
        lines[0] += f"{total.matched(TIGHT)} at {TIGHT}; {total.lost} lost, {total.gained} gained"
        before, after = (ap_of(scores) for scores in (real, int8))
        if before is not None and after is not None:
            lines.append(f"mask AP against the labels: float {100 * before:.2f} %, int8 {100 * after:.2f} %")
        return (*lines, *filter(None, [self.note]))

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Values for JSON. classes: their names."""
        per_class = {name: one.to_json() for name, one in zip(classes, self.per_class, strict=True)}
        per_image = [{"name": one.name, **one.total.to_json()} for one in self.per_image]
        return {**self.total.to_json(), "per_class": per_class, "per_image": per_image, "note": self.note}


@dataclass(frozen=True, eq=False)
class SureInstances:
    """The instances above the threshold in the first image of a comparison, and which of them are matched."""

    reference: Instances
    candidate: Instances
    pairs: tuple[MatchedPair, ...]

    @staticmethod
    def of(comparison: Comparison, threshold: float) -> "SureInstances | None":
        """None where the models have no instances."""
        real, int8 = comparison.reference.instances, comparison.candidate.instances
        if real is None or int8 is None:
            return None
        sure = real[0].above(threshold), int8[0].above(threshold)
        return SureInstances(*sure, matched(*sure))

    @property
    def lost(self) -> tuple[int, ...]:
        """Numbers of the float model's instances without a partner."""
        return tuple(sorted({*range(len(self.reference))} - {pair.reference for pair in self.pairs}))

    @property
    def gained(self) -> tuple[int, ...]:
        """Numbers of the int8 model's instances without a partner."""
        return tuple(sorted({*range(len(self.candidate))} - {pair.candidate for pair in self.pairs}))


def records(comparison: Comparison, threshold: float) -> tuple[InstanceRecord, ...]:
    """The record of each image of a batch; none where the models have no instances. threshold: of the float recipe."""
    real, int8 = comparison.reference, comparison.candidate
    if real.instances is None or int8.instances is None:
        return ()
    labels = real.labelled or (None,) * len(real.instances)
    found = []
    for own, other, label in zip(real.instances, int8.instances, labels, strict=True):
        sure = own.above(threshold), other.above(threshold)
        counts = counts_by_class(*sure, matched(*sure), comparison.classes)
        size = int(real.masks.shape[-2]), int(real.masks.shape[-1])
        image, known = ImageInstances(real.name, counts), None if label is None else encoded(label)
        found.append(InstanceRecord(image, size, known, encoded(own), encoded(other), len(sure[0])))
    return tuple(found)


def judged_alone(prediction: Prediction) -> tuple[JudgedImage, ...]:
    """The images of a batch of one model, for AP; none without labelled instances."""
    if prediction.instances is None or prediction.labelled is None:
        return ()
    size = int(prediction.masks.shape[-2]), int(prediction.masks.shape[-1])
    pairs = zip(prediction.labelled, prediction.instances, strict=True)
    return tuple(JudgedImage(size, encoded(label), encoded(found)) for label, found in pairs)


def ap_of(scores: Scores | None) -> float | None:
    """Mask AP against the labels; None where it is not known."""
    return None if scores is None else scores.summary.get("ap")


def with_precision(scores: Scores, precision: AveragePrecision | None) -> Scores:
    """The scores with AP and AR beside the other figures; None: unchanged."""
    if precision is None:
        return scores
    return Scores({**scores.summary, **precision.summary}, {**scores.per_class, **precision.per_class})


def without_precision(scores: Scores) -> Scores:
    """The scores of the masks alone."""
    summary = {key: value for key, value in scores.summary.items() if key not in SUMMARY}
    return Scores(summary, {key: values for key, values in scores.per_class.items() if key not in PER_CLASS})


@dataclass(frozen=True)
class InstanceResults:
    """What the records of a whole set give: each `AveragePrecision` is None where it cannot be known.

    reference, candidate: of each model against the labels. between: of int8 against float's instances.
    """

    evaluation: InstanceEvaluation
    reference: AveragePrecision | None = None
    candidate: AveragePrecision | None = None
    between: AveragePrecision | None = None


def results(all_records: Sequence[InstanceRecord], classes: int) -> InstanceResults:
    """The figures of a set. classes: their number. Without the extra there is no AP, and a note says so."""
    images = tuple(record.image for record in all_records)
    grown = (one.matched + (MatchCounts(),) * (classes - len(one.matched)) for one in images)
    per_class = tuple(reduce(add, counts, MatchCounts()) for counts in zip(*grown, strict=True))
    labelled = [(one, one.labels) for one in all_records if one.labels is not None]
    try:
        between = average_precision(
            [JudgedImage(one.size, one.reference[: one.sure], one.candidate) for one in all_records], classes
        )
        if not labelled:
            return InstanceResults(InstanceEvaluation(per_class, images), between=between)
        return InstanceResults(
            InstanceEvaluation(per_class, images),
            average_precision([JudgedImage(one.size, truths, one.reference) for one, truths in labelled], classes),
            average_precision([JudgedImage(one.size, truths, one.candidate) for one, truths in labelled], classes),
            between,
        )
    except MissingExtraError as error:
        return InstanceResults(InstanceEvaluation(per_class, images, str(error)))
