"""A float model, read and prepared, with the recipe that turns images into its input."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

from quantseg import graph
from quantseg.data.recipe import METADATA_KEY, Recipe, complete, image_input, override, recipe_from_toml
from quantseg.errors import ModelError, RecipeError
from quantseg.graph import TensorSpec
from quantseg.graph.preparation import Fusing, Prepared, prepare

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecipeSource:
    """Where the recipe comes from: a TOML file, else the model's metadata; flags override either."""

    file: Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)

    @staticmethod
    def of(recipe: "RecipeSource | Path | str | None") -> "RecipeSource":
        """From a TOML file's path; None is the model's metadata."""
        if isinstance(recipe, RecipeSource):
            return recipe
        return RecipeSource(None if recipe is None else Path(recipe))


@dataclass(frozen=True)
class FloatModel:
    """A float model, read and prepared.

    source: the path of its file, or its bytes. digest: SHA-256 of the source. recipe: completed. input: the tensor that
    takes the image.
    """

    source: Path | bytes
    digest: str
    prepared: Prepared
    recipe: Recipe
    input: TensorSpec

    @property
    def name(self) -> str:
        """The path as it was given, for messages."""
        return str(self.source) if isinstance(self.source, Path) else "the model"

    def __str__(self) -> str:
        nodes, output = len(self.prepared.model.graph), self.recipe.output
        return f"FloatModel {self.name}: {nodes} nodes; takes {self.input}; head {output.head} on {output.name!r}"


def read_float_model(
    source: Path | bytes,
    recipe: RecipeSource | None = None,
    *,
    fusing: Fusing | None = None,
    check_opens: Callable[[Path | bytes], None] | None = None,
) -> FloatModel:
    """Reads a float model and prepares it for quantization. Raises ModelError, also for a quantised model.

    fusing: what the target's runtime fuses; None without a single target. check_opens: called with the source before
    its graph is edited; raises ModelError where no runtime opens it.
    """
    model = graph.load(source)
    name = str(source) if isinstance(source, Path) else "the model"
    if graph.is_quantised(model):
        raise ModelError(f"{name}: is quantised already; give the float model it was made from")
    completed = resolve_recipe(model, name, recipe or RecipeSource())
    if check_opens is not None:
        check_opens(source)
    prepared = _prepared(model, name, fusing)
    inputs, _ = graph.signature(model)
    digest = graph.digest(source) if isinstance(source, Path) else hashlib.sha256(source).hexdigest()
    return FloatModel(source, digest, prepared, completed, image_input(inputs, completed.input))


def _prepared(model: ir.Model, name: str, fusing: Fusing | None) -> Prepared:
    try:
        return prepare(model, fusing=fusing)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def resolve_recipe(model: ir.Model, name: str, source: RecipeSource) -> Recipe:
    """The completed recipe of a float or quantised model. name: begins messages. Raises RecipeError, ModelError."""
    if source.file is not None:
        try:
            text = source.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{source.file}: cannot be read; give a recipe in TOML") from error
        recipe = recipe_from_toml(text, source=str(source.file))
    elif METADATA_KEY in model.metadata_props:
        recipe = recipe_from_toml(model.metadata_props[METADATA_KEY], source=f"{name}, metadata")
    else:
        recipe = Recipe()
        log.info("%s: no preprocessing declared; pixels are scaled to 0…1 unless flags say otherwise", Path(name).name)
    try:
        inputs, outputs = graph.signature(model)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    return complete(override(recipe, **source.flags), inputs, outputs, model=name)
