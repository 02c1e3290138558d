"""Evaluates model files on images, each with its own recipe: a folded model may need other preprocessing."""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data import Dataset, ModelInputs
from quantseg.data.heads import JudgedOutputs, head_of, judged_outputs
from quantseg.data.recipe import METADATA_KEY, Recipe, complete, override, recipe_from_file, recipe_from_toml
from quantseg.data.sources import Opener
from quantseg.errors import ModelError
from quantseg.evaluation.agreement import Evaluation, Pair, evaluate_one, evaluate_pair
from quantseg.evaluation.metrics.scores import Scores
from quantseg.evaluation.predictions import FoldedInput
from quantseg.quantization import folding
from quantseg.quantization.float_model import FloatModel, RecipeSource, inputs_of, resolve_recipe
from quantseg.quantization.model_files import read_file
from quantseg.quantization.writing import QuantizedModel
from quantseg.runtimes import for_file


@dataclass(frozen=True)
class ModelWithRecipe:
    """A model file, float or quantised. recipe: a completed one."""

    path: Path
    model: ir.Model
    recipe: Recipe
    inputs: ModelInputs

    @staticmethod
    def read(path: Path, source: RecipeSource) -> "ModelWithRecipe":
        """Reads a model file; raises ModelError, RecipeError, DataError."""
        return ModelWithRecipe.of(read_file(path), path, source)

    @staticmethod
    def of(model: ir.Model, path: Path, source: RecipeSource) -> "ModelWithRecipe":
        """A model that was read from the file `path`; raises ModelError, RecipeError, DataError."""
        recipe = resolve_recipe(model, str(path), source)
        return ModelWithRecipe(path, model, recipe, inputs_of(model, str(path), recipe, source))


def scores_of(one: ModelWithRecipe, images: Opener, context: Context) -> tuple[Scores, tuple[str, ...], JudgedOutputs]:
    """A model's scores against the labels, the names of its classes, and which outputs were judged.

    Raises DataError where there are no labels.
    """
    data, output = images(one.recipe, one.inputs), one.recipe.output
    runtime = for_file(context.runtime, one.path)
    with closing(runtime.open(one.path, threads=context.threads, spinning=False)) as session:
        scores = evaluate_one(session, data, one.recipe, track=context.track)
        names = head_of(output).class_names(output.classes, len(scores.per_class["iou"]))
        return scores, names, judged_outputs(one.recipe, session.outputs)


@dataclass(frozen=True)
class BesideFloat:
    """A quantised model's file beside that of the float model it was made from, by any tool.

    folded: whether the quantised model's recipe differs because preprocessing or head became part of it.
    """

    reference: ModelWithRecipe
    one: ModelWithRecipe
    folded: bool

    @staticmethod
    def read(reference: Path, quantised: Path, source: RecipeSource) -> "BesideFloat":
        """Reads both files. Raises ModelError, RecipeError, DataError.

        source: of the quantised model's recipe; without one in its metadata, that of the float model's. Of a folded
        model it may also repeat the recipe that the float model was quantised with.
        """
        float_model, model = graph.load(reference), read_file(quantised)
        if source.default is None and METADATA_KEY in float_model.metadata_props:
            text = float_model.metadata_props[METADATA_KEY]
            source = replace(source, default=recipe_from_toml(text, source=f"{reference}, metadata"))
        one = ModelWithRecipe.of(model, quantised, _own(source, model, str(quantised), float_model))
        own = folding.float_recipe(model.metadata_props, one.recipe, source=str(quantised))
        recipe = complete(one.recipe if own is None else own, *graph.signature(float_model), model=str(reference))
        inputs = inputs_of(float_model, str(reference), recipe, source)
        return BesideFloat(ModelWithRecipe(reference, float_model, recipe, inputs), one, folded=own is not None)

    def require_float(self) -> None:
        """Raises ModelError where the float model is quantised itself."""
        if graph.is_quantised(self.reference.model):
            path = self.reference.path
            raise ModelError(f"{path}: is quantised already; give the float model first, then the quantised one")

    def data(self, images: Opener) -> tuple[Dataset, FoldedInput | None]:
        """The images for the float model, and for the quantised model if it takes others. Raises DataError."""
        one, reference = self.one, self.reference
        own = images(one.recipe, one.inputs)
        if not self.folded:
            return own, None
        return images(reference.recipe, reference.inputs), FoldedInput(own, one.recipe, one.inputs.image)


def evaluate_beside(both: BesideFloat, images: Opener, context: Context) -> Evaluation:
    """Compares a quantised model with the float model it was made from. Raises ModelError, DataError."""
    shown, folded = both.data(images)
    runtimes = context.runtime, context.runtime
    pair = Pair(both.reference.path, both.one.path, runtimes, context.threads, folded)
    return evaluate_pair(pair, shown, both.reference.recipe, context)


def _own(source: RecipeSource, quantised: ir.Model, name: str, float_model: ir.Model) -> RecipeSource:
    """The source without what only repeats the recipe of a folded model's float model: the folded one knows that.

    People give the same flags to every command.
    """
    text = quantised.metadata_props.get(folding.FLOAT_RECIPE_KEY)
    if text is None:
        return source
    kept = recipe_from_toml(text, source=f"{name}, metadata")
    flags = {flag: value for flag, value in source.flags.items() if override(kept, **{flag: value}) != kept}
    file = source.file
    if file is not None and complete(recipe_from_file(file), *graph.signature(float_model), model=str(file)) == kept:
        file = None
    return replace(source, file=file, flags=flags)


def taken(made: QuantizedModel, model: FloatModel, images: Opener) -> FoldedInput | None:
    """The quantised model's own inputs and recipe, if preprocessing or head were folded into it; else None."""
    own = made.candidate.model
    return None if own.recipe == model.recipe else FoldedInput(images(own.recipe, own.inputs), own.recipe, own.input)
