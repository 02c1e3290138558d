"""Recipe: how images become the model's input and how its outputs become classes, declared once.

A recipe is read from TOML, overridden by flags (toml.py) and completed from the model's signature (signature.py). The
completed recipe is stored in the metadata of the written model under `METADATA_KEY`, so that later commands need no
flags. This package depends on neither ONNX nor a runtime.
"""

from quantseg.data.recipe.signature import complete, concrete, image_input, sized_like
from quantseg.data.recipe.toml import (
    METADATA_KEY,
    override,
    parse_numbers,
    parse_size,
    recipe_from_file,
    recipe_from_toml,
)
from quantseg.data.values import InputRecipe, OutputRecipe, Recipe

__all__ = [
    "METADATA_KEY",
    "InputRecipe",
    "OutputRecipe",
    "Recipe",
    "complete",
    "concrete",
    "image_input",
    "override",
    "parse_numbers",
    "parse_size",
    "recipe_from_file",
    "recipe_from_toml",
    "sized_like",
]
