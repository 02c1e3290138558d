"""What one item adds to an evaluation: counts of pixels, sums of squares, records of instances."""

from dataclasses import dataclass, field

from quantseg.data.recipe import Recipe
from quantseg.errors import DataError
from quantseg.evaluation.instances import InstanceRecord, records
from quantseg.evaluation.metrics.scores import Scores, Tallies, added, tally
from quantseg.evaluation.metrics.sqnr import Sqnr
from quantseg.evaluation.predictions import Comparison, Prediction


@dataclass(frozen=True)
class Counts:
    """Counts that are summed over images. A monoid under +.

    reference, candidate: each model against the labels. between: candidate against reference. sqnr: None where outputs
    differed in shape. instances: a record of each image, where the models find any.
    """

    reference: Tallies = field(default_factory=dict)
    candidate: Tallies = field(default_factory=dict)
    between: Tallies = field(default_factory=dict)
    changed: int = 0
    pixels: int = 0
    sqnr: Sqnr | None = field(default_factory=Sqnr)
    instances: tuple[InstanceRecord, ...] = ()

    @staticmethod
    def of(pair: Comparison, recipe: Recipe) -> "Counts":
        """The counts of one item. recipe: the float model's, completed. Raises DataError for labels that do not fit."""
        changed = pair.changed
        return Counts(
            against_labels(pair.reference, pair.classes, recipe),
            against_labels(pair.candidate, pair.classes, recipe),
            tally(pair.reference.masks, pair.candidate.masks, pair.classes, None),
            int(changed.sum()),
            changed.size,
            pair.sqnr,
            records(pair, recipe.output.threshold),
        )

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            added(self.reference, other.reference),
            added(self.candidate, other.candidate),
            added(self.between, other.between),
            self.changed + other.changed,
            self.pixels + other.pixels,
            None if self.sqnr is None or other.sqnr is None else self.sqnr + other.sqnr,
            (*self.instances, *other.instances),
        )


def against_labels(prediction: Prediction, classes: int, recipe: Recipe) -> Tallies:
    """The tallies of one model's masks against the labels, empty without labels. Raises DataError naming the image."""
    if prediction.truth is None:
        return {}
    try:
        return tally(prediction.truth, prediction.masks, classes, recipe.output.ignore_index)
    except DataError as error:
        raise DataError(f"{prediction.name}: {error}") from error


def mean_agreement(between: Scores) -> float:
    """Mean IoU; 1 if neither model assigns any class to any pixel, since the masks are then equal."""
    return 1.0 if between.mean_iou is None else between.mean_iou
