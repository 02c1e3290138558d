"""Evaluates model files on images, each with its own recipe: a folded model may need other preprocessing."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data import ModelInputs
from quantseg.data.heads import JudgedOutputs, head_of, judged_outputs
from quantseg.data.recipe import METADATA_KEY, Recipe, complete
from quantseg.data.sources import Opener
from quantseg.evaluation.agreement import Evaluation, Pair, evaluate_one, evaluate_pair
from quantseg.evaluation.metrics.scores import Scores
from quantseg.evaluation.predictions import FoldedInput
from quantseg.quantization import folding
from quantseg.quantization.float_model import FloatModel, RecipeSource, inputs_of, resolve_recipe
from quantseg.quantization.writing import QuantizedModel


@dataclass(frozen=True)
class ModelWithRecipe:
    """A model file, float or quantised. recipe: a completed one. source: what the recipe was completed from."""

    path: Path
    model: ir.Model
    recipe: Recipe
    inputs: ModelInputs
    source: RecipeSource

    @staticmethod
    def read(path: Path, source: RecipeSource, default: Recipe | None = None) -> "ModelWithRecipe":
        """Reads a model file; raises ModelError, RecipeError, DataError. default: the recipe if metadata has none."""
        loaded = graph.load(path)
        if default is not None:
            loaded.metadata_props.setdefault(METADATA_KEY, default.to_toml())
        recipe = resolve_recipe(loaded, str(path), source)
        return ModelWithRecipe(path, loaded, recipe, inputs_of(loaded, str(path), recipe, source), source)


def scores_of(one: ModelWithRecipe, images: Opener, context: Context) -> tuple[Scores, tuple[str, ...], JudgedOutputs]:
    """A model's scores against the labels, the names of its classes, and which outputs were judged.

    Raises DataError where there are no labels.
    """
    data, output = images(one.recipe, one.inputs), one.recipe.output
    with closing(context.runtime.open(one.path, threads=context.threads, spinning=False)) as session:
        scores = evaluate_one(session, data, one.recipe, track=context.track)
        names = head_of(output).class_names(output.classes, len(scores.per_class["iou"]))
        return scores, names, judged_outputs(one.recipe, session.outputs)


def evaluate_beside(reference: Path, one: ModelWithRecipe, images: Opener, context: Context) -> Evaluation:
    """Compares a quantised model with the float model it was made from. Raises ModelError, DataError, RecipeError."""
    data = shown = images(one.recipe, one.inputs)
    float_model = graph.load(reference)
    own = folding.float_recipe(one.model.metadata_props, one.recipe, source=str(one.path))
    shared = complete(one.recipe if own is None else own, *graph.signature(float_model), model=str(reference))
    folded = None
    if own is not None:
        folded = FoldedInput(data, one.recipe, one.inputs.image)
        shown = images(shared, inputs_of(float_model, str(reference), shared, one.source))
    pair = Pair(reference, one.path, (context.runtime, context.runtime), context.threads, folded)
    return evaluate_pair(pair, shown, shared, context)


def taken(made: QuantizedModel, model: FloatModel, images: Opener) -> FoldedInput | None:
    """The quantised model's own inputs and recipe, if preprocessing or head were folded into it; else None."""
    own = made.candidate.model
    return None if own.recipe == model.recipe else FoldedInput(images(own.recipe, own.inputs), own.recipe, own.input)
