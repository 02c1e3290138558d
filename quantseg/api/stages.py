"""The stages of the whole job: load, calibrate, refine, fold, fit to the target; each returns a new value.

The public functions and the command line are composed of these, so that report, compare and search evaluate
exactly the model that `quantize` writes with the same options.
"""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from quantseg.calibration.calibrate import Calibrated, calibrate, checked, ranges_of
from quantseg.calibration.choosing import Choice
from quantseg.calibration.file import Calibration
from quantseg.data import Dataset, Subset
from quantseg.data.sources import array_shape
from quantseg.errors import CalibrationError
from quantseg.evaluation import model_files
from quantseg.evaluation.agreement import Evaluation, Pair, evaluate_pair
from quantseg.mixed_precision import feeds as fed
from quantseg.mixed_precision import fitting, targets
from quantseg.mixed_precision.budget import search as budgets
from quantseg.mixed_precision.budget import task as tasks
from quantseg.mixed_precision.budget.task import SearchGoal
from quantseg.quantization import folding
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel, RecipeSource, naming, read_float_model
from quantseg.quantization.model_files import COMMAND_KEY, as_file
from quantseg.quantization.writing import QuantizedModel, written
from quantseg.refinement import levels
from quantseg.refinement.forecast import announce
from quantseg.refinement.options import Options
from quantseg.refinement.steps import fold_in
from quantseg.runtimes import check_opens

Model = FloatModel | onnx.ModelProto | bytes | Path | str
"""A float model in any form that the functions accept; str and Path are paths of ONNX files."""
Recipe = RecipeSource | Path | str | None
"""The preprocessing recipe: a TOML file; None reads it from the model's metadata."""


def loaded(model: Model, recipe: Recipe, options: Options, data: object = None) -> FloatModel:
    """The float model, its graph prepared as the target of the options asks. Raises ModelError, RecipeError.

    data: if arrays, they tell an open height and width.
    """
    fusing, without = options.target.fusing, options.target.without
    run = functools.partial(fed.run_once, runtime=options.context().runtime)
    if isinstance(model, FloatModel):
        given = model.with_inputs(options.inputs)
        if model.is_prepared_for(fusing, without):
            return given
        own = RecipeSource(inputs=given.constants, default=given.recipe)
        again = read_float_model(given.source, own, fusing=fusing, without=without, run=run, check_opens=check_opens)
        return replace(given, prepared=again.prepared)
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    return read_float_model(
        source if isinstance(source, bytes) else Path(source),
        replace(RecipeSource.of(recipe, options.inputs), shape=array_shape(data)),
        fusing=fusing,
        without=without,
        run=run,
        check_opens=check_opens,
    )


def observed(model: FloatModel, data: object, options: Options, *, partial: Path | None = None) -> Calibrated:
    """The model with the ranges that its tensors have on calibration images; see `quantseg.calibrate`.

    Raises PlanError, before any work, where the options fold in what this model has not.
    """
    folding.check(model, options.fold)
    images = options.images(data)(model.recipe, model.inputs)
    choice, context = options.choice or Choice().with_grid(options.settings), options.context(images)
    announce(model, options, context)
    return Calibrated(model, calibrate(model, choice, context, partial=partial), images)


def calibrated(model: Model, data: object, options: Options) -> Calibrated:
    """The loaded model with its calibration. data: as in `quantize`; images are calibrated on here.

    A model without constants takes those that a calibration was made with. Raises CalibrationError for a calibration
    that was made for another model, preprocessing or target.
    """
    read, is_file = loaded(model, None, options, data), isinstance(data, (str, Path)) and Path(data).suffix == ".json"
    if not is_file and not isinstance(data, (Calibration, Calibrated)):
        return observed(read, data, options)
    folding.check(read, options.fold)
    if not isinstance(data, Calibrated):
        return with_file(read, data if isinstance(data, Calibration) else Path(str(data)), options)
    if data.model.prepared.target != read.prepared.target:
        raise CalibrationError(f"target={options.target.target} observes other tensors; calibrate for that target")
    same = read if read.constants else replace(read, constants=data.model.constants)
    return replace(data, model=same, calibration=checked(data.calibration, same))


def with_file(model: FloatModel, calibration: Calibration | Path, options: Options) -> Calibrated:
    """The model with a calibration that was saved before. Raises CalibrationError if it belongs to another model."""
    if options.target.observes_others:
        what = f"target={options.target.target} observes other tensors than a calibration file has"
        raise CalibrationError(f"{what}; give data=…")
    options.effort_for(images=False)
    name = str(calibration) if isinstance(calibration, Path) else "the calibration"
    kept = Calibration.read(calibration) if isinstance(calibration, Path) else calibration
    return Calibrated(model, checked(kept, model, name=name))


def refined(given: Calibrated, options: Options, *, leave_float: bool | None = None) -> Candidate:
    """The calibrated candidate after the refinement steps of the effort level.

    leave_float: whether a float region may be kept for accuracy; None: yes, unless the target asks for int8 everywhere.
    """
    effort = options.effort_for(images=given.images is not None)
    may_float = not options.target.int8_everywhere if leave_float is None else leave_float
    ranges = ranges_of(given.calibration, options.settings, options.choice)
    start = Candidate.of(given.model, ranges, options.settings)
    limits = levels.LIMITS if may_float else None
    step = levels.level(effort, given.calibration.observations, limits=limits, budget=options.budget)
    return step(start, options.context(given.images))


def folded(candidate: Candidate, options: Options) -> Candidate:
    """The candidate with preprocessing or argmax folded into its graph, as the options ask. Raises PlanError."""
    return fold_in(options.fold)(candidate, options.context())


def fitted(candidate: Candidate, options: Options) -> QuantizedModel:
    """The quantised model of a candidate, in the format and with the node placement that suit the target.

    It has been opened by the runtime. Raises ModelError where that does not open it.
    """
    bench = targets.bench(options.target, options.context())
    placed = candidate if bench is None else fitting.fitted(candidate, bench, options.target.objective)
    made = written(placed, options.target.qformat(options.qformat))
    with naming("the int8 model"):
        fed.open_once(made.model, options.context().runtime)
    return made


def judged_briefly(model: FloatModel, made: QuantizedModel, data: object, options: Options) -> Evaluation:
    """A quantised model's masks compared with the float model's on a few of its calibration images, without labels.

    data: the calibration images; see levels.judged_briefly for which of them are taken. Raises ModelError, DataError.
    """
    images, context = options.images(data), options.context()

    def few(*model: Any) -> Dataset:
        every = images(*model)
        return Subset(every, levels.judged_briefly(len(every.names), options.effort_for(images=True)))

    folded, runtimes = model_files.taken(made, model, few), (context.runtime, context.runtime)
    with as_file(made) as int8:
        pair = Pair(model.source, int8, runtimes, context.threads, folded)
        return evaluate_pair(pair, few(model.recipe, model.inputs), model.recipe, context)


def search_task(
    model: Model, data: object, goal: SearchGoal, options: Options, *, calib: object = None
) -> tasks.SearchTask:
    """The inputs of a mixed-precision search, checked; see `search`. Raises DataError, RecipeError, PlanError."""
    goal.check(options.target)
    read = loaded(model, None, options, data)
    images = tasks.images_of(read, data, calib, goal, options.limit, follow_links=options.follow_links)
    return tasks.search_task(read, images, goal, options.context())


def searched(task: tasks.SearchTask, options: Options) -> budgets.Found:
    """Runs the search and quantises the model that it found; its metadata says that a search made it."""
    context = options.context(task.calibrating)
    bench = targets.bench(options.target, context)
    given = observed(task.model, task.calibrating, replace(options, limit=None))
    found = tasks.found_for(task, refined(given, options, leave_float=False), bench, context)
    made = fitted(folded(found.candidate, options), options)
    made.model.metadata_props[COMMAND_KEY] = "search"
    if bench is None:
        return replace(found, model=made)
    folds = model_files.taken(made, task.model, task.judging)
    return replace(budgets.confirmed(found, made, context, folds), model=made)
