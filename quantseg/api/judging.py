"""What a model is worth: evaluate, benchmark, compare, report; and what it computes: simulate, explain, inspect."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from quantseg.api.stages import Model, Recipe, calibrated, fitted, folded, loaded, refined
from quantseg.data.sources import Opener, opener
from quantseg.errors import DataError, PlanError
from quantseg.evaluation import model_files
from quantseg.evaluation import tool_comparison as tools
from quantseg.evaluation.agreement import Evaluation
from quantseg.evaluation.classical import require_classical
from quantseg.mixed_precision import feeds as fed
from quantseg.quantization.float_model import FloatModel, RecipeSource
from quantseg.quantization.model_files import AnyModel, as_file
from quantseg.refinement.how_made import made_by
from quantseg.refinement.options import Options, chosen, parted
from quantseg.report import Report, Reporting, report_on, report_on_file
from quantseg.runtimes import inspection, latency, runtime_named, within
from quantseg.simulation import simulating
from quantseg.simulation.explaining import explanation

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from quantseg.refinement import options as of


def evaluate(
    model: AnyModel,
    quantised: AnyModel,
    data: object,
    *,
    recipe: Recipe = None,
    options: Options | None = None,
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
    known = model.constants if isinstance(model, FloatModel) else {}
    with as_file(model) as reference, as_file(quantised) as path:
        source = replace(RecipeSource.of(recipe, {**known, **how.inputs}), default=default)
        both = model_files.BesideFloat.read(reference, path, source)
        return model_files.evaluate_beside(both, how.judging(data), how.context())


def benchmark(
    models: Mapping[str, AnyModel] | Iterable[Path | str],
    *,
    recipe: Recipe = None,
    runtime: str = "onnxruntime",
    options: Options | None = None,
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
    context = replace(how.context(), runtime=within(runtime_named(runtime), how.timeout))
    return fed.benchmark_models(models, RecipeSource.of(recipe, how.inputs), turns, context)


def compare(
    model: Model,
    data: object,
    *,
    calib: object = None,
    options: Options | None = None,
    **words: "Unpack[of.CompareWords]",
) -> tools.ToolComparison:
    """Tool comparison: the float model, the model of onnxruntime's quantizer, and the model that `quantize` writes.

    data: images to evaluate on. calib: as `data` of `quantize`, but with images; None: `data`. Keyword arguments: also
    the fields of Comparing. Raises MissingExtraError where a runtime or tool is asked for and not installed.

    >>> [one.name for one in qs.compare("model.onnx", "val/", calib="calib/", rounds=1, effort="fast")]
    ['float', 'onnxruntime quantizer', 'quantseg']
    """
    comparing, how = parted(tools.Comparing, options, words)
    if comparing.openvino:
        tools.require_openvino()
    if comparing.web:
        tools.require_web()
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
    model: Model,
    data: object,
    *,
    calib: object = None,
    quantised: AnyModel | None = None,
    options: Options | None = None,
    **words: "Unpack[of.ReportWords]",
) -> Report:
    """Quantises, evaluates, times and profiles a model, and returns all results as one Report.

    data: images to evaluate on. calib: as `data` of `quantize`; None: `data`. quantised: the model to judge, by any
    tool, in place of one that is quantised here; the report then lacks what only a plan tells, and `calib` says what it
    was calibrated on, if that is known. Keyword arguments: also the fields of Reporting. Raises the errors of
    `quantize`, and MissingExtraError where what is asked for is not installed.

    >>> report = qs.report("model.onnx", "val/", calib="calib/", rounds=1, effort="fast")
    >>> [path.name for path in report.save("reports/model")]
    ['report.json', 'report.md', 'index.html']
    >>> qs.report("model.onnx", "val/", quantised="int8.onnx", rounds=1).plan is None
    True
    """
    reporting, how = parted(Reporting, options, words)
    if reporting.web:
        tools.require_web()
    if reporting.baselines:
        require_classical()
    if quantised is not None:
        known = model.constants if isinstance(model, FloatModel) else {}
        default = model.recipe if isinstance(model, FloatModel) else None
        source = RecipeSource(inputs={**known, **how.inputs}, default=default)
        with as_file(model) as reference, as_file(quantised, f"{reference.stem}.int8") as path:
            both = model_files.BesideFloat.read(reference, path, source)
            return judged(both, how.judging(data), calib, reporting, how)
    given = calibrated(model, data if calib is None else calib, how)
    made = fitted(folded(refined(given, how), how), how)
    effort = how.effort_for(images=given.images is not None)
    return report_on(given, made, how.judging(data), reporting, effort, how.context(given.images))


def judged(
    both: model_files.BesideFloat, images: Opener, calib: object, reporting: Reporting, options: Options
) -> Report:
    """The report on a quantised model that was not made here. calib: as in `report`.

    Raises ModelError where the float model is quantised itself, PlanError for options of how a model is made.
    """
    both.require_float()
    reference = both.reference
    if words := made_by(options):
        raise PlanError(f"{words[0]} says how a model is made, and this one is; leave it out")
    if reporting.peer or reporting.int8_model is not None:
        what = "peer=True" if reporting.peer else "int8_model=…"
        raise PlanError(f"{what} belongs to a model that is made here; leave it out")
    calibration = None
    if calib is not None:
        source = RecipeSource(inputs=reference.inputs.constants, default=reference.recipe)
        calibration = calibrated(loaded(reference.path, source, options, calib), calib, options).calibration
    return report_on_file(both, images, reporting, calibration, options.context())


def simulate(
    model: AnyModel,
    data: object,
    *,
    recipe: Recipe = None,
    options: Options | None = None,
    **words: "Unpack[of.SimulateWords]",
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
        given = RecipeSource.of(recipe, how.inputs)
        return simulating.simulate(path, how.images(data), given, simulation, how.context())


def explain(
    model: AnyModel,
    node: str,
    *,
    data: object = None,
    recipe: Recipe = None,
    inputs: Mapping[str, object] | None = None,
    **words: "Unpack[of.ExplainWords]",
) -> explanation.Explanation:
    """Shows how one output value of a node is computed: integer inputs, products, sum, multiplier, clamp, real value.

    node: name of the node or of one of its output tensors. data: its first image is the input; None: random input.
    inputs: as in Options. Keyword arguments: the fields of Explaining. Raises ModelError, PlanError.

    >>> qs.explain("int8.onnx", "conv1", data="val/").op_type
    'QLinearConv'
    """
    how, source = explanation.Explaining(**words), RecipeSource.of(recipe, inputs)
    with as_file(model) as path:
        if data is None:
            return explanation.explained(simulating.read_program(path), fed.feeds_for(path, source), node, how)
        return explanation.explained(
            *simulating.first_feeds(path, opener(data, limit=1, follow_links=how.follow_links), source), node, how
        )


def inspect(
    model: AnyModel,
    *,
    recipe: Recipe = None,
    runs: int = 10,
    options: Options | None = None,
    **words: "Unpack[of.Words]",
) -> inspection.Inspection:
    """Profiles which nodes onnxruntime executes in int8, in float, and which it inserted. Raises ModelError.

    >>> qs.inspect("int8.onnx", runs=2).summary.kinds["int8"].nodes > 0
    True
    """
    how = chosen(options, words)
    context = how.context()
    with as_file(model) as path:
        feeds = fed.feeds_for(path, RecipeSource.of(recipe, how.inputs))
        return inspection.inspect(path, feeds, context.runtime, threads=context.threads, runs=runs)
