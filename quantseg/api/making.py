"""From a float model to an int8 model: load, calibrate, quantize, search, and what each node loses alone."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from quantseg.api.stages import (
    Model,
    Recipe,
    calibrated,
    fitted,
    folded,
    loaded,
    observed,
    refined,
    search_task,
    searched,
)
from quantseg.calibration.calibrate import Calibrated, ranges_of
from quantseg.data import Dataset
from quantseg.errors import PlanError
from quantseg.mixed_precision import error_sources as sources_of_error
from quantseg.mixed_precision import sensitivity as sensitivities
from quantseg.mixed_precision.budget import search as budgets
from quantseg.mixed_precision.budget.task import SearchGoal
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.folding import Fold
from quantseg.quantization.writing import QuantizedModel
from quantseg.refinement.options import Options, chosen, parted

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from quantseg.refinement import options as of

SENSITIVITY_IMAGES, ERROR_IMAGES = 16, 4


def load(
    model: Model,
    recipe: Recipe = None,
    *,
    data: object = None,
    options: Options | None = None,
    **words: "Unpack[of.Words]",
) -> FloatModel:
    """Reads a float model and prepares its graph for quantization.

    recipe: the preprocessing, as a TOML file; None: read from the model's metadata. data: if arrays, they tell a height
    and width that model and recipe leave open. The target decides which activations are kept as operators because its
    runtime fuses them. Raises ModelError, RecipeError.

    >>> qs.load("model.onnx", recipe="recipe.toml").recipe.output.classes
    ('sky', 'road', 'car')
    """
    return loaded(model, recipe, chosen(options, words), data)


def calibrate(
    model: Model,
    data: object,
    *,
    partial: Path | None = None,
    options: Options | None = None,
    **words: "Unpack[of.Words]",
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
    read = model.with_inputs(how.inputs) if isinstance(model, FloatModel) else loaded(model, None, how, data)
    return observed(read, data, how, partial=partial)


def quantize(
    model: Model, data: object, *, options: Options | None = None, **words: "Unpack[of.Words]"
) -> QuantizedModel:
    """Quantises a float model. data: calibration images, a result of `calibrate`, or the path of a calibration file.

    A calibration file (.json) holds no images, so only effort="fast" is possible with it. Raises ModelError, DataError,
    CalibrationError, PlanError.

    >>> result = qs.quantize("model.onnx", "calib/", effort="fast", exclude=["MaxPool"])
    >>> result.save("model.int8.onnx").name
    'model.int8.onnx'
    >>> print(result)
    QuantizedModel, qdq: int8 weights, uint8 activations; judged output 'y'
    QuantPlan: 27 of 31 nodes in integers
      2 float: excluded by exclude=…
      2 float: gives each channel of an output its own range, behind the last rounding
    """
    how = chosen(options, words)
    return fitted(folded(refined(calibrated(model, data, how), how), how), how)


def search(
    model: Model,
    data: object,
    *,
    calib: object = None,
    options: Options | None = None,
    **words: "Unpack[of.SearchWords]",
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
    options: Options | None = None,
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
    given = _calibrated_to_measure(model, data if calib is None else calib, how)
    judged = _measured_on(data, given.model, how, SENSITIVITY_IMAGES)
    return sensitivities.measure(_planned(given, how), judged, how.context(given.images), left_float=left_float)


def error_sources(
    model: Model,
    data: object,
    *,
    calib: object = None,
    options: Options | None = None,
    **words: "Unpack[of.Words]",
) -> sources_of_error.ErrorSources:
    """Which rounded tensors, channels and weights carry the error of the masks, and how it grows along the graph.

    data: images to measure on; of a folder at most 4 are used, evenly spread. calib and effort: as for `sensitivity`.
    Each is rounded alone, and the error at the output is weighed by how near it comes to changing pixels' classes.

    >>> qs.error_sources("model.onnx", "val/", calib="calib/").whole < 1
    True
    """
    how = chosen(options, words)
    given = _calibrated_to_measure(model, data if calib is None else calib, how)
    judged = _measured_on(data, given.model, how, ERROR_IMAGES)
    return sources_of_error.measure(given.model, _planned(given, how), judged, how.context(given.images))


def _calibrated_to_measure(model: Model, calib: object, how: Options) -> Calibrated:
    """The calibrated model whose nodes are measured. Raises PlanError for folds, which change its outputs."""
    if how.fold != Fold():
        what = "argmax" if how.fold.argmax else "preprocess"
        raise PlanError(f"fold='{what}': sensitivity measures nodes at the float model's own outputs; leave it out")
    return calibrated(model, calib, how)


def _measured_on(data: object, model: FloatModel, how: Options, most: int) -> Dataset:
    limit = most if isinstance(data, (str, Path)) else None
    return replace(how, limit=limit).images(data)(model.recipe, model.inputs)


def _planned(given: Calibrated, how: Options) -> Candidate:
    """The refined candidate where the options name an effort, else the calibrated ranges alone."""
    ranges = ranges_of(given.calibration, how.settings, how.choice)
    return Candidate.of(given.model, ranges, how.settings) if how.effort is None else refined(given, how)
