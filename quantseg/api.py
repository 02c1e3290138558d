"""The public functions, and the whole job composed once: the command line calls the same functions.

Each function takes a model and images in any of the accepted forms. Options are given as keyword arguments (see
`refinement.options.Options.of`) or as one `Options` value, options=. The stages `calibrated`, `refined`, `folded` and
`fitted` follow each other; each returns a new value and changes none. report, compare and search evaluate exactly the
model that `quantize` writes with the same options.

Images are a folder, an address (camvid:roads#train), a Dataset, an iterable of model inputs or of (input, mask) pairs,
or a torch DataLoader. The test suite runs every example after `import quantseg as qs`, in a folder that holds
model.onnx, calib/ and val/.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from quantseg.calibration.calibrate import Calibrated, checked, ranges_of
from quantseg.calibration.calibrate import calibrate as observed
from quantseg.calibration.choosing import Choice
from quantseg.calibration.file import Calibration
from quantseg.data.sources import opener
from quantseg.errors import CalibrationError, DataError, PlanError
from quantseg.evaluation import model_files
from quantseg.evaluation import tool_comparison as tools
from quantseg.evaluation.agreement import Evaluation
from quantseg.mixed_precision import feeds as fed
from quantseg.mixed_precision import sensitivity as sensitivities
from quantseg.mixed_precision import targets
from quantseg.mixed_precision.budget import search as budgets
from quantseg.mixed_precision.budget import task as tasks
from quantseg.mixed_precision.budget.task import SearchGoal
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel, RecipeSource, read_float_model
from quantseg.quantization.folding import Fold
from quantseg.quantization.model_files import AnyModel, as_file
from quantseg.quantization.writing import QuantizedModel, written
from quantseg.refinement import levels
from quantseg.refinement.options import Options, chosen, parted
from quantseg.refinement.steps import fold_in
from quantseg.report import Report, Reporting, report_on
from quantseg.runtimes import inspection, latency, runtime_named
from quantseg.simulation import simulating
from quantseg.simulation.explaining import explanation

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from quantseg.refinement import options as of

Model = FloatModel | onnx.ModelProto | bytes | Path | str
"""A float model in any form that the functions accept; str and Path are paths of ONNX files."""
Recipe = RecipeSource | Path | str | None
"""The preprocessing recipe: a TOML file; None reads it from the model's metadata."""
Given = Options | None
SENSITIVITY_IMAGES = 16


def load(model: Model, recipe: Recipe = None, *, options: Given = None, **words: "Unpack[of.Words]") -> FloatModel:
    """Reads a float model and prepares its graph for quantization.

    recipe: the preprocessing, as a TOML file; None: read from the model's metadata. The target decides which
    activations are kept as operators because its runtime fuses them. Raises ModelError, RecipeError.

    >>> qs.load("model.onnx", recipe="recipe.toml").recipe.output.classes
    ('sky', 'road', 'car')
    """
    fusing = chosen(options, words).target.fusing
    if isinstance(model, FloatModel):
        if model.prepared.fused == (None if fusing is None else fusing.activations):
            return model
        again = read_float_model(model.source, fusing=fusing)
        return replace(again, recipe=model.recipe, input=model.input)
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    return read_float_model(
        source if isinstance(source, bytes) else Path(source), RecipeSource.of(recipe), fusing=fusing
    )


def calibrate(
    model: Model, data: object, *, partial: Path | None = None, options: Given = None, **words: "Unpack[of.Words]"
) -> Calibrated:
    """Runs the float model once on each image, collects statistics of its tensors and chooses their ranges.

    The result may be given to the other functions wherever they take calibration images. partial: a file that keeps the
    statistics of an interrupted run, which the next run continues. Raises CalibrationError, DataError.

    >>> calibration = qs.calibrate("model.onnx", "calib/", calibrator="percentile:99.99")
    >>> print(calibration)
    Calibration: 14 tensors over 3 images, percentile:99.99, uint8
    >>> calibration.save("model.calibration.json").name
    'model.calibration.json'
    """
    how = chosen(options, words)
    loaded = model if isinstance(model, FloatModel) else load(model, options=how)
    images = opener(data, limit=how.limit)(loaded.recipe, loaded.input)
    choice = how.choice or Choice().with_grid(how.settings)
    return Calibrated(loaded, observed(loaded, choice, how.context(images), partial=partial), images)


def quantize(model: Model, data: object, *, options: Given = None, **words: "Unpack[of.Words]") -> QuantizedModel:
    """Quantises a float model. data: calibration images, a result of `calibrate`, or the path of a calibration file.

    A calibration file (.json) holds no images, so only effort="fast" is possible with it. Raises ModelError, DataError,
    CalibrationError, PlanError.

    >>> result = qs.quantize("model.onnx", "calib/", effort="fast", exclude=["MaxPool"])
    >>> result.save("model.int8.onnx").name
    'model.int8.onnx'
    >>> print(result)
    QuantizedModel, qdq: int8 weights, uint8 activations; judged output 'y'
    QuantPlan: 27 of 29 nodes in integers
      2 float: excluded by exclude=…
    """
    how = chosen(options, words)
    return fitted(folded(refined(calibrated(model, data, how), how), how), how)


def search(
    model: Model, data: object, *, calib: object = None, options: Given = None, **words: "Unpack[of.SearchWords]"
) -> budgets.Found:
    """Searches mixed precision: the cheapest model whose masks lose no more accuracy than allowed.

    Keyword arguments: also the fields of SearchGoal. data: images to evaluate on. calib: images to calibrate on; None:
    every second image of `data` calibrates and only the others are evaluated. Raises the errors of `quantize`.

    >>> found = qs.search("model.onnx", "val/", max_iou_drop=90.0, evaluations=2, effort="fast")
    >>> found.is_met, found.evaluations
    (True, 1)
    """
    goal, how = parted(SearchGoal, options, words)
    return searched(search_task(model, data, goal, how, calib=calib), how)


def sensitivity(
    model: Model,
    data: object,
    *,
    calib: object = None,
    left_float: bool = True,
    options: Given = None,
    **words: "Unpack[of.Words]",
) -> sensitivities.Sensitivity:
    """The loss at the output when each node alone is quantised.

    data: images to measure on; of a folder at most 16 are used, evenly spread. calib: as `data` of `quantize`; None:
    `data`. left_float: also measures the quantised model with each node alone left float. If the options name an
    effort, the refined candidate is measured; otherwise the calibrated ranges without refinement.

    >>> qs.sensitivity("model.onnx", "val/", calib="calib/", left_float=False).ranked()[0].op_type
    'Conv'
    """
    how = chosen(options, words)
    if how.fold != Fold():
        what = "argmax" if how.fold.argmax else "preprocess"
        raise PlanError(f"fold='{what}': sensitivity measures nodes at the float model's own outputs; leave it out")
    given = calibrated(model, data if calib is None else calib, how)
    limit = SENSITIVITY_IMAGES if isinstance(data, (str, Path)) else None
    judged = opener(data, limit=limit)(given.model.recipe, given.model.input)
    ranges = ranges_of(given.calibration, how.settings, how.choice)
    plain = Candidate(given.model, ranges, how.settings)
    candidate = plain if how.effort is None else refined(given, how)
    return sensitivities.measure(candidate, judged, how.context(given.images), left_float=left_float)


def evaluate(
    model: AnyModel,
    quantised: AnyModel,
    data: object,
    *,
    recipe: Recipe = None,
    options: Given = None,
    **words: "Unpack[of.Words]",
) -> Evaluation:
    """Compares the quantised model's masks with the float model's; with label masks, also scores both against these.

    recipe: that of the quantised model; None: from its metadata, else that of the float model. Raises ModelError,
    DataError.

    >>> result = qs.quantize("model.onnx", "calib/", effort="fast", fold="argmax")
    >>> qs.evaluate("model.onnx", result, "val/").agreement > 0.5
    True
    """
    how = chosen(options, words)
    default = model.recipe if isinstance(model, FloatModel) else None
    with as_file(model) as reference, as_file(quantised) as path:
        one = model_files.ModelWithRecipe.read(path, RecipeSource.of(recipe), default)
        return model_files.evaluate_beside(reference, one, how.judging(data), how.context())


def benchmark(
    models: Mapping[str, AnyModel] | Iterable[Path | str],
    *,
    recipe: Recipe = None,
    runtime: str = "onnxruntime",
    options: Given = None,
    **words: "Unpack[of.BenchmarkWords]",
) -> latency.Timings:
    """Measures the latency of models in alternating rounds, with one session open at a time.

    Ratios are relative to the first model. models: name → model, or paths. recipe: gives the input size where a model
    leaves it open. Keyword arguments: also the fields of Turns (rounds, runs). Raises ModelError.

    >>> timings = qs.benchmark({"float": "model.onnx", "int8": "int8.onnx"}, rounds=1, runs=2)
    >>> [timing.name for timing in timings]
    ['float', 'int8']
    """
    turns, how = parted(latency.Turns, options, words)
    context = replace(how.context(), runtime=runtime_named(runtime))
    return fed.benchmark_models(models, RecipeSource.of(recipe), turns, context)


def compare(
    model: Model, data: object, *, calib: object = None, options: Given = None, **words: "Unpack[of.CompareWords]"
) -> tools.ToolComparison:
    """Tool comparison: the float model, the model of onnxruntime's quantizer, and the model that `quantize` writes.

    data: images to evaluate on. calib: as `data` of `quantize`, but with images; None: `data`. Keyword arguments: also
    the fields of Comparing. Raises MissingExtraError where OpenVINO or NNCF is asked for and not installed.

    >>> [one.name for one in qs.compare("model.onnx", "val/", calib="calib/", rounds=1, effort="fast")]
    ['float', 'onnxruntime quantizer', 'quantseg']
    """
    comparing, how = parted(tools.Comparing, options, words)
    if comparing.openvino:
        tools.require_openvino()
    given = calibrated(model, data if calib is None else calib, how)
    if given.images is None:
        raise DataError("other quantizers calibrate on images; give data, no calibration file")
    wanted = [how.target.qformat(name) for name in comparing.formats] or [how.target.qformat(how.qformat)]
    candidate = folded(refined(given, how), how)
    formats = dict.fromkeys((*wanted, "qdq") if comparing.openvino else wanted)
    made = {qformat: fitted(candidate, replace(how, qformat=qformat)) for qformat in formats}
    comparing = replace(comparing, formats=wanted)
    return tools.compare_made(given.model, made, how.judging(data), comparing, how.context(given.images))


def report(
    model: Model, data: object, *, calib: object = None, options: Given = None, **words: "Unpack[of.ReportWords]"
) -> Report:
    """Quantises, evaluates, times and profiles a model, and returns all results as one Report.

    data: images to evaluate on. calib: as `data` of `quantize`; None: `data`. Keyword arguments: also the fields of
    Reporting. Raises the errors of `quantize`.

    >>> report = qs.report("model.onnx", "val/", calib="calib/", rounds=1, effort="fast")
    >>> [path.name for path in report.save("reports/model")]
    ['report.json', 'report.md', 'index.html']
    """
    reporting, how = parted(Reporting, options, words)
    given = calibrated(model, data if calib is None else calib, how)
    made = fitted(folded(refined(given, how), how), how)
    effort = how.effort_for(images=given.images is not None)
    return report_on(given, made, how.judging(data), reporting, effort, how.context(given.images))


def simulate(
    model: AnyModel, data: object, *, recipe: Recipe = None, options: Given = None, **words: "Unpack[of.SimulateWords]"
) -> simulating.Simulation:
    """Executes a quantised model in integer arithmetic in numpy, operator by operator.

    Keyword arguments: also the fields of Simulating. Raises ModelError for a float model and for an operator that the
    simulator does not implement, DataError.

    >>> simulation = qs.simulate("int8.onnx", "val/", against="onnxruntime", limit=1)
    >>> simulation.is_exact
    True
    """
    simulation, how = parted(simulating.Simulating, options, words)
    with as_file(model) as path:
        images = opener(data, limit=how.limit)
        return simulating.simulate(path, images, RecipeSource.of(recipe), simulation, how.context())


def explain(
    model: AnyModel, node: str, *, data: object = None, recipe: Recipe = None, **words: "Unpack[of.ExplainWords]"
) -> explanation.Explanation:
    """Shows how one output value of a node is computed: integer inputs, products, sum, multiplier, clamp, real value.

    node: name of the node or of one of its output tensors. data: its first image is the input; None: random input.
    Keyword arguments: the fields of Explaining. Raises ModelError, PlanError.

    >>> qs.explain("int8.onnx", "conv1", data="val/").op_type
    'QLinearConv'
    """
    how, source = explanation.Explaining(**words), RecipeSource.of(recipe)
    with as_file(model) as path:
        if data is None:
            return explanation.explained(simulating.read_program(path), fed.feeds_for(path, source), node, how)
        return explanation.explained(*simulating.first_feeds(path, opener(data, limit=1), source), node, how)


def inspect(
    model: AnyModel, *, recipe: Recipe = None, runs: int = 10, options: Given = None, **words: "Unpack[of.Words]"
) -> inspection.Inspection:
    """Profiles which nodes onnxruntime executes in int8, in float, and which it inserted. Raises ModelError.

    >>> qs.inspect("int8.onnx", runs=2).summary.kinds["int8"].nodes > 0
    True
    """
    context = chosen(options, words).context()
    with as_file(model) as path:
        feeds = fed.feeds_for(path, RecipeSource.of(recipe))
        return inspection.inspect(path, feeds, context.runtime, threads=context.threads, runs=runs)


def calibrated(model: Model, data: object, options: Options) -> Calibrated:
    """The loaded model with its calibration. data: as in `quantize`; images are calibrated on here.

    Raises CalibrationError for a calibration that was made for another model, preprocessing or target.
    """
    loaded = load(model, options=options)
    if isinstance(data, (str, Path)) and Path(data).suffix == ".json":
        return with_file(loaded, Path(data), options)
    if isinstance(data, Calibration):
        return with_file(loaded, data, options)
    if not isinstance(data, Calibrated):
        return calibrate(loaded, data, options=options)
    if data.model.prepared.fused != loaded.prepared.fused:
        raise CalibrationError(f"target={options.target.target} observes other tensors; calibrate for that target")
    return replace(data, model=loaded, calibration=checked(data.calibration, loaded))


def with_file(model: FloatModel, calibration: Calibration | Path, options: Options) -> Calibrated:
    """The model with a calibration that was saved before. Raises CalibrationError if it belongs to another model."""
    if options.target.fusing is not None:
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
    start = Candidate(given.model, ranges, options.settings)
    step = levels.level(effort, given.calibration.observations, leave_float=may_float)
    return step(start, options.context(given.images))


def folded(candidate: Candidate, options: Options) -> Candidate:
    """The candidate with preprocessing or argmax folded into its graph, as the options ask. Raises PlanError."""
    return fold_in(options.fold)(candidate, options.context())


def fitted(candidate: Candidate, options: Options) -> QuantizedModel:
    """The quantised model of a candidate, in the format and with the node placement that suit the target."""
    bench = targets.bench(options.target, options.context())
    placed = candidate if bench is None else targets.fitted(candidate, bench, options.target.objective)
    return written(placed, options.target.qformat(options.qformat))


def search_task(
    model: Model, data: object, goal: SearchGoal, options: Options, *, calib: object = None
) -> tasks.SearchTask:
    """The inputs of a mixed-precision search, checked; see `search`. Raises DataError, RecipeError, PlanError."""
    goal.check(options.target)
    loaded = load(model, options=options)
    images = tasks.images_of(loaded, data, calib, goal, options.limit)
    return tasks.search_task(loaded, images, goal, options.context())


def searched(task: tasks.SearchTask, options: Options) -> budgets.Found:
    """Runs the search and quantises the model that it found."""
    context = options.context(task.calibrating)
    bench = targets.bench(options.target, context)
    given = calibrate(task.model, task.calibrating, options=replace(options, limit=None))
    found = tasks.found_for(task, refined(given, options, leave_float=False), bench, context)
    made = fitted(folded(found.candidate, options), options)
    if bench is None:
        return replace(found, model=made)
    folding = model_files.taken(made, task.model, task.judging)
    return replace(budgets.confirmed(found, made, context, folding), model=made)
