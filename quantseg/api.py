"""The whole job, composed once: what the command line, the report and people who write Python all call.

A model goes through `load`, `calibrate`, `refined`, `folded`, `fitted`: each gives a value and changes nothing. What
judges a model (`report`, `compare`, `search`) judges the one that `quantize` writes with the same options.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from quantseg.calibration.calibrate import calibrate as observed
from quantseg.calibration.calibrate import ranges_of, read_calibration
from quantseg.calibration.choosing import Choice
from quantseg.calibration.file import Calibration
from quantseg.data import Dataset
from quantseg.data.sources import Opener, opener
from quantseg.errors import CalibrationError, DataError, PlanError
from quantseg.evaluation import tool_comparison as tools
from quantseg.evaluation.predictions import Taken
from quantseg.mixed_precision import sensitivity as sensitivities
from quantseg.mixed_precision import targets
from quantseg.mixed_precision.budget import Budget, read_budget, weighing
from quantseg.mixed_precision.budget import search as budgets
from quantseg.mixed_precision.budget.judging import Judge
from quantseg.options import Options
from quantseg.progress import Track, quiet
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel, RecipeSource, read_float_model
from quantseg.quantization.writing import QuantizedModel, written
from quantseg.refinement import levels
from quantseg.refinement.steps import fold_in
from quantseg.report import PEER, Judged, Measuring, Report, Subject, build_report

Model = FloatModel | onnx.ModelProto | bytes | Path | str
"""A float model as callers have it."""


@dataclass(frozen=True)
class Calibrated:
    """A model that is calibrated and not yet refined. images: those that it was calibrated on, None without them."""

    model: FloatModel
    calibration: Calibration
    images: Dataset | None = None


def load(
    model: Model, recipe: RecipeSource | Path | str | None = None, *, options: Options | None = None
) -> FloatModel:
    """Reads a float model and prepares it. recipe: its preprocessing, a TOML file; None: from its metadata.

    options: their target decides what is left as its runtime fuses it. Raises ModelError, RecipeError.
    """
    fusing = (options or Options()).target.fusing
    if isinstance(model, FloatModel):
        if model.prepared.fused == (None if fusing is None else fusing.activations):
            return model
        again = read_float_model(model.source, fusing=fusing)
        return replace(again, recipe=model.recipe, input=model.input)
    source = recipe if isinstance(recipe, RecipeSource) else RecipeSource(None if recipe is None else Path(recipe))
    if isinstance(model, onnx.ModelProto):
        return read_float_model(model.SerializeToString(), source, fusing=fusing)
    return read_float_model(Path(model) if isinstance(model, str) else model, source, fusing=fusing)


def calibrate(
    model: FloatModel, data: object, options: Options, *, partial: Path | None = None, track: Track = quiet
) -> Calibrated:
    """Observes the model on images, once each, and chooses ranges. data: see `quantseg.data.sources.opener`.

    partial: a file in which unfinished work is kept and from which it goes on. Raises CalibrationError, DataError.
    """
    images = opener(data, limit=options.limit)(model.recipe, model.input)
    choice = options.choice or Choice().with_grid(options.settings)
    done = observed(model, choice, options.context(images, track), partial=partial)
    return Calibrated(model, done, images)


def calibrated(model: FloatModel, calibration: Calibration | Path, options: Options) -> Calibrated:
    """From a calibration that was made before, of the same model. Raises CalibrationError."""
    if options.target.fusing is not None:
        what = f"target={options.target.target} observes other tensors than a calibration file has"
        raise CalibrationError(f"{what}; give the images instead")
    options.effort_for(images=False)
    done = read_calibration(calibration, model) if isinstance(calibration, Path) else calibration
    return Calibrated(model, done)


def refined(given: Calibrated, options: Options, *, leave_float: bool | None = None, track: Track = quiet) -> Candidate:
    """The candidate after the steps of its effort level.

    leave_float: whether a region may stay float for the masks; None: unless the target asks for int8 everywhere.
    """
    context = options.context(given.images, track)
    effort = options.effort_for(images=given.images is not None)
    may_float = not options.target.int8_everywhere if leave_float is None else leave_float
    ranges = ranges_of(given.calibration, options.settings, options.choice)
    start = Candidate(given.model, ranges, options.settings)
    return levels.level(effort, given.calibration.observations, leave_float=may_float)(start, context)


def folded(candidate: Candidate, options: Options) -> Candidate:
    """With preprocessing or head in the graph, as the options ask for. Raises PlanError where it cannot be."""
    return fold_in(options.fold)(candidate, options.context())


def fitted(candidate: Candidate, options: Options, *, track: Track = quiet) -> QuantizedModel:
    """The model that is written of a candidate for the target that the options name."""
    bench = targets.bench(options.target, options.context(track=track))
    placed = candidate if bench is None else targets.fitted(candidate, bench, options.target.objective)
    return written(placed, options.target.qformat(options.qformat))


def quantize(given: Calibrated, options: Options, *, track: Track = quiet) -> QuantizedModel:
    """From a calibrated model to the quantised one: refined, folded, fitted to the target, written."""
    return fitted(folded(refined(given, options, track=track), options), options, track=track)


def taken(made: QuantizedModel, model: FloatModel, images: Opener) -> Taken | None:
    """How the quantised model takes images, where folding made that another way than the float model's; else None."""
    own = made.candidate.model
    return None if own.recipe == model.recipe else Taken(images(own.recipe, own.input), own.recipe, own.input)


def sensitivity(
    given: Calibrated, data: Dataset, options: Options, *, left_float: bool = True, track: Track = quiet
) -> sensitivities.Sensitivity:
    """What each node loses on the images of `data`, quantised alone and left float alone.

    With an effort in the options, of the refined candidate; without one, of the ranges as they were calibrated.
    """
    ranges = ranges_of(given.calibration, options.settings, options.choice)
    plain = Candidate(given.model, ranges, options.settings)
    candidate = plain if options.effort is None else refined(given, options, track=track)
    return sensitivities.measure(candidate, data, options.context(given.images, track), left_float=left_float)


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


@dataclass(frozen=True)
class SearchTask:
    """A search that can begin.

    calibrating: images to calibrate on. images: opens those to judge on, which are `judged` as the float model takes
    them. seconds: about how long one image takes in an evaluation.
    """

    model: FloatModel
    calibrating: Dataset
    images: Opener
    judged: Dataset
    goal: SearchGoal
    budget: Budget
    seconds: float


def search_task(
    model: FloatModel, data: object, goal: SearchGoal, options: Options, *, calib: object = None
) -> SearchTask:
    """Opens the images, those to judge on apart from those to calibrate on, and rehearses one evaluation.

    calib: images to calibrate on; None: every other one of `data`, which is not judged then. Raises DataError,
    RecipeError for a budget that does not fit the classes.
    """
    target = options.target.target
    if target == targets.ORT_CPU and goal.evaluations < 2:
        raise PlanError(f"target={target} takes an evaluation for the model that is written; give evaluations=2")
    limit = options.limit or budgets.IMAGES
    images: Opener
    if calib is None:
        both = opener(data, limit=2 * limit, masks=goal.labels)
        calibrating: Dataset = budgets.halves(both(model.recipe, model.input))[0]
        images = lambda recipe, spec: budgets.halves(both(recipe, spec))[1]  # noqa: E731
    else:
        images = opener(data, limit=limit, masks=goal.labels)
        calibrating = opener(calib, limit=limit)(model.recipe, model.input)
    judged = images(model.recipe, model.input)
    names, seconds = budgets.rehearse(model, judged, options.context(), labelled=goal.labels)
    budget = read_budget(goal.max_iou_drop, goal.max_class_drop, names)
    return SearchTask(model, calibrating, images, judged, goal, budget, seconds)


def search(task: SearchTask, options: Options, *, track: Track = quiet) -> tuple[budgets.Found, QuantizedModel]:
    """The model with most of it in int8 whose masks lose no more than allowed, and how it was found."""
    context = options.context(task.calibrating, track)
    bench = targets.bench(options.target, context)
    unlimited = replace(options, limit=None)
    given = calibrate(task.model, task.calibrating, unlimited, track=track)
    candidate = refined(given, options, leave_float=False, track=track)
    shapes = targets.input_shapes(candidate.model)
    shares = weighing.work_shares(candidate.prepared, shapes)
    prices = weighing.by_work(shares) if bench is None else weighing.by_time(candidate, shapes, bench)
    found = budgets.search(
        candidate,
        Judge(task.judged, task.budget, task.goal.labels),
        budgets.Weighing(prices, shares, lambda: weighing.harms(candidate, context)),
        context,
        evaluations=task.goal.evaluations - (bench is not None),
    )
    made = fitted(folded(found.candidate, options), options, track=track)
    if bench is None:
        return found, made
    return budgets.confirmed(found, made, shares, context, taken(made, task.model, task.images)), made


@dataclass(frozen=True)
class Judging:
    """What a report or a comparison judges on, and how.

    images: those that it judges on. data, note: as in Report. rounds: of timing. pictures: whether images are shown.
    peer: whether onnxruntime's quantizer stands beside. commands: what made it.
    """

    images: Opener
    data: str | None = None
    note: str | None = None
    rounds: int = 5
    pictures: bool = True
    peer: bool = False
    commands: Sequence[str] = field(default=())


def report(
    name: str,
    given: Calibrated,
    options: Options,
    judging: Judging,
    *,
    int8_model: Path | None = None,
    track: Track = quiet,
) -> Report:
    """Quantises, evaluates, times and profiles; the proof as one value. int8_model: where the model is written too."""
    made = quantize(given, options, track=track)
    context = options.context(given.images, track)
    effort = options.effort_for(images=given.images is not None)
    settings = {"calibrator": made.candidate.ranges.calibrator, "effort": effort, "format": made.qformat}
    with _as_file(given.model) as model, tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        target = made.save(int8_model or Path(folder) / f"{name}.int8.onnx")
        peer = None
        if judging.peer and given.images is not None:
            place = Path(folder) / f"{name}.onnxruntime.onnx"
            peer = tools.peer_model(model, context, options.settings, options.calibrator, place, made.qformat)
            settings[f"{PEER}, calibrator"] = tools.peer_calibrator(options.calibrator)
        images = judging.images(model.recipe, model.input)
        judged = Judged(images, taken(made, model, judging.images), judging.data, judging.note)
        subject = Subject(name, model, target, made, given.calibration, peer)
        how = Measuring(judging.rounds, judging.pictures, settings, judging.commands)
        return build_report(subject, judged, how, context)


def compare(
    given: Calibrated,
    options: Options,
    judging: Judging,
    *,
    qformats: Sequence[str | None] = (None,),
    openvino: bool = False,
    track: Track = quiet,
) -> tuple[tools.Contestant, ...]:
    """The float model, onnxruntime's quantizer's, and the one that `quantize` writes, side by side.

    qformats: ours once in each; None is the options' own. openvino: also the float model, ours and NNCF's in OpenVINO.
    Raises MissingExtraError, before any work, where OpenVINO or NNCF is wanted and not installed.
    """
    if given.images is None:
        raise DataError("other quantizers calibrate on images; give data, no calibration file")
    if openvino:
        tools.require_openvino()
    context = options.context(given.images, track)
    wanted = [options.target.qformat(name or options.qformat) for name in qformats]
    with _as_file(given.model) as model, tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        place = Path(folder)
        peer = tools.peer_model(
            model, context, options.settings, options.calibrator, place / "onnxruntime.onnx", wanted[0]
        )
        candidate = folded(refined(given, options, track=track), options)
        names = dict.fromkeys((*wanted, "qdq") if openvino else wanted)
        ours = {}
        for qformat in names:
            made = fitted(candidate, replace(options, qformat=qformat), track=track)
            name = tools.QUANTSEG if len(names) == 1 else f"{tools.QUANTSEG} {tools.format_name(qformat)}"
            path = made.save(place / f"{name.replace(' ', '-')}.onnx")
            own = taken(made, model, judging.images)
            ours[qformat] = tools.Entry(name, tools.PeerModel(path), ours=True, taken=own)
        entries = [
            tools.Entry(tools.FLOAT, tools.PeerModel(Path(str(model.source))), ours=True),
            tools.Entry(tools.ONNXRUNTIME, peer),
            *(ours[qformat] for qformat in dict.fromkeys(wanted)),
        ]
        if openvino:
            nncf = tools.nncf_model(model, context, place / "nncf.xml")
            entries += [
                tools.Entry(tools.FLOAT, entries[0].model, "openvino"),
                replace(ours["qdq"], runtime="openvino", ours=False),
                tools.Entry(tools.NNCF, nncf, "openvino"),
            ]
        images = judging.images(model.recipe, model.input)
        return tools.compare_tools(model, entries, images, context, rounds=judging.rounds)


@contextmanager
def _as_file(model: FloatModel) -> Iterator[FloatModel]:
    """The model as a file, for what only reads files; one in memory is written to a temporary one."""
    if isinstance(model.source, Path):
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.source)
        yield replace(model, source=path)
