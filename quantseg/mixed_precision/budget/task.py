"""The inputs of a search: calibration images apart from evaluation images, the budget, and the expected time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from quantseg.calibration.context import Context
from quantseg.data import Dataset
from quantseg.data.sources import Opener, opener
from quantseg.errors import PlanError
from quantseg.mixed_precision.budget import Budget, read_budget, weighing
from quantseg.mixed_precision.budget import search as searching
from quantseg.mixed_precision.budget.judging import EvaluationImages
from quantseg.mixed_precision.latency_model import Bench
from quantseg.mixed_precision.target_facts import LITERT
from quantseg.mixed_precision.targets import TargetOptions, input_shapes
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel


@dataclass(frozen=True)
class SearchGoal:
    """The goal of a search.

    max_iou_drop: points of mIoU that may be lost. max_class_drop: CLASS=POINTS, points of IoU that a class may lose.
    labels: whether the loss is measured against the label masks beside the images; else against the float model's
    masks. evaluations: most models that are evaluated.
    """

    max_iou_drop: float = 0.5
    max_class_drop: Sequence[str] = ()
    labels: bool = False
    evaluations: int = 12

    def check(self, target: TargetOptions) -> None:
        """Raises PlanError where the target needs an evaluation itself and none is left, and for target litert."""
        if target.target == LITERT:
            what = f"target={target.target}: search weighs nodes by onnxruntime's kernels"
            raise PlanError(f"{what}; quantise for that target with exclude=… the nodes that search leaves float")
        if target.is_placed and self.evaluations < 2:
            what = f"target={target.target} takes an evaluation for the model that is written"
            raise PlanError(f"{what}; give evaluations=2")


@dataclass(frozen=True)
class SearchTask:
    """The inputs of a search.

    calibrating: calibration images. judging: opens the evaluation images. judged: these, as the float model takes them.
    seconds: rough time per image of an evaluation.
    """

    model: FloatModel
    calibrating: Dataset
    judging: Opener
    judged: Dataset
    goal: SearchGoal
    budget: Budget
    seconds: float


def images_of(
    model: FloatModel, data: object, calib: object, goal: SearchGoal, limit: int | None, *, follow_links: bool = False
) -> tuple[Dataset, Opener]:
    """The calibration images, and a function that opens the evaluation images.

    data: evaluation images. calib: calibration images; None: every second image of `data`, which is then not evaluated.
    limit: most images of each; None: IMAGES. follow_links: see `opener`. Raises DataError.
    """
    most, opened = limit or searching.IMAGES, partial(opener, follow_links=follow_links)
    if calib is not None:
        return opened(calib, limit=most)(model.recipe, model.inputs), opened(data, limit=most, masks=goal.labels)
    both = opened(data, limit=2 * most, masks=goal.labels)
    calibrating = searching.halves(both(model.recipe, model.inputs))[0]
    return calibrating, lambda recipe, inputs: searching.halves(both(recipe, inputs))[1]


def search_task(model: FloatModel, images: tuple[Dataset, Opener], goal: SearchGoal, context: Context) -> SearchTask:
    """The inputs of a search, checked by one evaluation on one image. images: as returned by `images_of`.

    Raises DataError where labels are asked for and missing, RecipeError for a budget that does not fit the classes.
    """
    calibrating, judging = images
    judged = judging(model.recipe, model.inputs)
    names, seconds = searching.rehearse(model, judged, context, labelled=goal.labels)
    budget = read_budget(goal.max_iou_drop, goal.max_class_drop, names)
    return SearchTask(model, calibrating, judging, judged, goal, budget, seconds)


def found_for(task: SearchTask, candidate: Candidate, bench: Bench | None, context: Context) -> searching.Found:
    """Searches a candidate. bench: times the model's parts, so that cost is milliseconds; None: it is MACs in float."""
    shapes = input_shapes(candidate.model)
    shares = weighing.work_shares(candidate.prepared, task.judged.load(0).feeds(candidate.model.input.name))
    prices = weighing.by_macs(shares) if bench is None else weighing.by_time(candidate, shapes, bench)
    return searching.search(
        candidate,
        EvaluationImages(task.judged, task.budget, task.goal.labels),
        searching.Weighing(prices, shares, lambda: weighing.noise_of_nodes(candidate, context)),
        context,
        evaluations=task.goal.evaluations - (bench is not None),
    )
