"""A search that can begin: images to calibrate on apart from those to judge on, the budget, and how long it takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from quantseg.calibration.context import Context
from quantseg.data import Dataset
from quantseg.data.sources import Opener, opener
from quantseg.errors import PlanError
from quantseg.mixed_precision.budget import Budget, read_budget, weighing
from quantseg.mixed_precision.budget import search as searching
from quantseg.mixed_precision.budget.judging import JudgedImages
from quantseg.mixed_precision.latency_model import Bench
from quantseg.mixed_precision.targets import ORT_CPU, TargetOptions, input_shapes
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel


@dataclass(frozen=True)
class SearchGoal:
    """What a search is asked for.

    max_iou_drop: points of mIoU that may be lost. max_class_drop: CLASS=POINTS of a class's own IoU. labels: by the
    masks beside the images, not by the float model's. evaluations: at most so many models are judged.
    """

    max_iou_drop: float = 0.5
    max_class_drop: Sequence[str] = ()
    labels: bool = False
    evaluations: int = 12

    def check(self, target: TargetOptions) -> None:
        """Raises PlanError where the target leaves no evaluation for the search."""
        if target.target == ORT_CPU and self.evaluations < 2:
            what = f"target={target.target} takes an evaluation for the model that is written"
            raise PlanError(f"{what}; give evaluations=2")


@dataclass(frozen=True)
class SearchTask:
    """A search that can begin.

    judging: opens the images to judge on, which are `judged` as the float model takes them. seconds: about how long one
    image takes in an evaluation.
    """

    model: FloatModel
    calibrating: Dataset
    judging: Opener
    judged: Dataset
    goal: SearchGoal
    budget: Budget
    seconds: float


def images_of(
    model: FloatModel, data: object, calib: object, goal: SearchGoal, limit: int | None
) -> tuple[Dataset, Opener]:
    """Images to calibrate on, and what opens those to judge on. calib: None takes every other one of `data`.

    Raises DataError.
    """
    most = limit or searching.IMAGES
    if calib is not None:
        return opener(calib, limit=most)(model.recipe, model.input), opener(data, limit=most, masks=goal.labels)
    both = opener(data, limit=2 * most, masks=goal.labels)
    calibrating = searching.halves(both(model.recipe, model.input))[0]
    return calibrating, lambda recipe, spec: searching.halves(both(recipe, spec))[1]


def search_task(model: FloatModel, images: tuple[Dataset, Opener], goal: SearchGoal, context: Context) -> SearchTask:
    """Rehearses one evaluation. images: to calibrate on, and what opens those to judge on.

    Raises DataError where labels are asked for and missing, RecipeError for a budget that does not fit the classes.
    """
    calibrating, judging = images
    judged = judging(model.recipe, model.input)
    names, seconds = searching.rehearse(model, judged, context, labelled=goal.labels)
    budget = read_budget(goal.max_iou_drop, goal.max_class_drop, names)
    return SearchTask(model, calibrating, judging, judged, goal, budget, seconds)


def found_for(task: SearchTask, candidate: Candidate, bench: Bench | None, context: Context) -> searching.Found:
    """The search of a candidate. bench: where parts are timed, so that milliseconds are saved, not work."""
    shapes = input_shapes(candidate.model)
    shares = weighing.work_shares(candidate.prepared, shapes)
    prices = weighing.by_work(shares) if bench is None else weighing.by_time(candidate, shapes, bench)
    return searching.search(
        candidate,
        JudgedImages(task.judged, task.budget, task.goal.labels),
        searching.Weighing(prices, shares, lambda: weighing.harms(candidate, context)),
        context,
        evaluations=task.goal.evaluations - (bench is not None),
    )
