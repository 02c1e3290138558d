"""Image in, mask out: preprocessing and the output head's head become part of the graph; an app has code for neither.

A prepared float graph that computes on float images becomes one that takes uint8 pixels and gives a uint8 class map.
Folding comes after calibration: tensors that both graphs have hold the same numbers, so their ranges stay true.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from quantseg.data.recipe import METADATA_KEY, Recipe, recipe_from_toml
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.folding.head import fold_head
from quantseg.quantization.folding.preprocess import fold_preprocess

__all__ = ["FLOAT_RECIPE_KEY", "Fold", "float_recipe", "fold"]

FLOAT_RECIPE_KEY = f"{METADATA_KEY}.float"
"""The key of a folded model's metadata that holds the recipe of the float model it was made from."""


@dataclass(frozen=True)
class Fold:
    """What becomes part of the graph. preprocess: from pixels to the input. argmax: from the output to classes."""

    preprocess: bool = False
    argmax: bool = False


def fold(candidate: Candidate, wanted: Fold, *, rounded: bool = True) -> Candidate:
    """Folds what is wanted into a copy of the graph; its metadata keeps the recipe of the float model.

    The ranges were calibrated on the graph given. rounded: whether weights for pixels are rounded, by the candidate's
    settings; False for a graph that stays float. Raises PlanError where the model's input is no float image or its
    output does not fit uint8.
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
    """The recipe of the float model that a folded one was made from; None where nothing was folded.

    folded: the folded model's recipe. Images are resized alike for both, and the same pixels count.
    source: opens every message. Raises RecipeError for metadata that is no recipe.
    """
    text = metadata.get(FLOAT_RECIPE_KEY)
    if text is None:
        return None
    kept = recipe_from_toml(text, source=f"{source}, metadata")
    picture = replace(kept.input, size=folded.input.size, resize=folded.input.resize)
    return Recipe(picture, replace(kept.output, ignore_index=folded.output.ignore_index))
