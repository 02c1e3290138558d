"""Folding: preprocessing and output head become part of the graph, so that an application needs code for neither.

A prepared float graph that takes preprocessed float images becomes one that takes uint8 pixels and returns uint8 masks.
Folding comes after calibration: tensors in both graphs hold the same values, so their ranges stay valid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from quantseg.data.recipe import METADATA_KEY, Recipe, recipe_from_toml
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.folding.head import fold_head
from quantseg.quantization.folding.preprocess import fold_preprocess, foldable_input

__all__ = ["FLOAT_RECIPE_KEY", "Fold", "check", "float_recipe", "fold"]

FLOAT_RECIPE_KEY = f"{METADATA_KEY}.float"
"""The key in a folded model's metadata of the original float model's recipe."""


@dataclass(frozen=True)
class Fold:
    """What to fold. preprocess: from pixels to the model's input. argmax: the output head, from outputs to the mask."""

    preprocess: bool = False
    argmax: bool = False


def check(model: FloatModel, wanted: Fold) -> None:
    """Raises PlanError where what is wanted cannot be folded into the model, before it is calibrated."""
    if wanted.preprocess:
        foldable_input(model)
    if wanted.argmax:
        fold_head(replace(model, prepared=replace(model.prepared, model=model.prepared.model.clone())))


def fold(candidate: Candidate, wanted: Fold, *, rounded: bool = True) -> Candidate:
    """Folds what is wanted into a copy of the graph; its metadata keeps the recipe of the original float model.

    The candidate's ranges are those of the graph before folding. rounded: whether the new first-layer weights are
    rounded, by the candidate's settings; False for a graph that stays float. Raises PlanError where the model's input
    is not a float image or its classes do not fit uint8.
    """
    if wanted == Fold():
        return candidate
    folded = candidate.with_prepared(replace(candidate.prepared, model=candidate.prepared.model.clone()))
    if wanted.preprocess:
        folded = fold_preprocess(folded, rounded=rounded)
    if wanted.argmax:
        folded = replace(folded, model=fold_head(folded.model))
    folded.prepared.model.metadata_props[FLOAT_RECIPE_KEY] = candidate.model.recipe.to_toml()
    return folded


def float_recipe(metadata: Mapping[str, str], folded: Recipe, *, source: str) -> Recipe | None:
    """The recipe of the float model that a folded model was made from; None where nothing was folded.

    folded: the folded model's recipe; its resizing and ignore_index are used for both models. source: error messages
    begin with it. Raises RecipeError for metadata that is not a recipe.
    """
    text = metadata.get(FLOAT_RECIPE_KEY)
    if text is None:
        return None
    kept = recipe_from_toml(text, source=f"{source}, metadata")
    image = replace(kept.input, size=folded.input.size, resize=folded.input.resize)
    return Recipe(image, replace(kept.output, ignore_index=folded.output.ignore_index))
