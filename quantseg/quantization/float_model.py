"""A float model, read and prepared, with the recipe that turns images into its input."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx_ir as ir

from quantseg import graph
from quantseg.data import ModelInputs
from quantseg.data.model_inputs import Array, identity
from quantseg.data.recipe import METADATA_KEY, Recipe, complete, image_input, override, recipe_from_toml
from quantseg.data.values import listing
from quantseg.errors import ModelError, RecipeError
from quantseg.graph import TensorSpec
from quantseg.graph.preparation import Fusing, Prepared, prepare

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecipeSource:
    """Where the recipe comes from: a TOML file, else the model's metadata; flags override either.

    inputs: name of an input beside the image → its constant: a number, an array or the path of an .npy file.
    """

    file: Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, object] = field(default_factory=dict)

    @staticmethod
    def of(recipe: "RecipeSource | Path | str | None", inputs: Mapping[str, object] | None = None) -> "RecipeSource":
        """From a TOML file's path; None is the model's metadata. inputs: more constants."""
        if not isinstance(recipe, RecipeSource):
            recipe = RecipeSource(None if recipe is None else Path(recipe))
        return replace(recipe, inputs={**recipe.inputs, **inputs}) if inputs else recipe


@dataclass(frozen=True)
class FloatModel:
    """A float model, read and prepared.

    source: the path of its file, or its bytes. digest: SHA-256 of the source. recipe: completed. input: the tensor that
    takes the image. constants: values of other inputs, see ModelInputs.
    """

    source: Path | bytes
    digest: str
    prepared: Prepared
    recipe: Recipe
    input: TensorSpec
    constants: Mapping[str, Array] = field(default_factory=dict, compare=False)

    @property
    def inputs(self) -> ModelInputs:
        """All inputs of the model."""
        specs, _ = graph.signature(self.prepared.model)
        return ModelInputs(self.input, tuple(spec for spec in specs if spec.name != self.input.name), self.constants)

    @property
    def identity(self) -> str:
        """How the inputs are made, as text: the recipe in TOML and the constants."""
        return self.recipe.to_toml() + identity(self.constants)

    def with_inputs(self, given: Mapping[str, object]) -> "FloatModel":
        """The model with more constants. Raises DataError for one that fits no input."""
        if not given:
            return self
        specs, _ = graph.signature(self.prepared.model)
        more = ModelInputs.among(specs, self.input, given, model=self.name).constants
        return replace(self, constants={**self.constants, **more})

    @property
    def name(self) -> str:
        """The path as it was given, for messages."""
        return str(self.source) if isinstance(self.source, Path) else "the model"

    def __str__(self) -> str:
        nodes, output = len(self.prepared.model.graph), self.recipe.output
        takes = listing((self.input, *self.inputs.others))
        return f"FloatModel {self.name}: {nodes} nodes; takes {takes}; head {output.head} on {output.name!r}"


def read_float_model(
    source: Path | bytes, recipe: RecipeSource | None = None, *, fusing: Fusing | None = None
) -> FloatModel:
    """Reads a float model and prepares it for quantization. Raises ModelError, also for a quantised model.

    fusing: what the target's runtime fuses; None without a single target. Raises DataError for constants that do not
    fit.
    """
    given = recipe or RecipeSource()
    model = graph.load(source)
    name = str(source) if isinstance(source, Path) else "the model"
    if graph.is_quantised(model):
        raise ModelError(f"{name}: is quantised already; give the float model it was made from")
    completed = resolve_recipe(model, name, given)
    inputs = inputs_of(model, name, completed, given)
    prepared = prepare(model, fusing=fusing)
    digest = graph.digest(source) if isinstance(source, Path) else hashlib.sha256(source).hexdigest()
    return FloatModel(source, digest, prepared, completed, inputs.image, inputs.constants)


def inputs_of(model: ir.Model, name: str, recipe: Recipe, source: RecipeSource) -> ModelInputs:
    """All inputs of a float or quantised model, with the constants of the source. Raises ModelError, DataError.

    name: begins messages. recipe: completed.
    """
    specs, _ = graph.signature(model)
    return ModelInputs.among(specs, image_input(specs, recipe.input), source.inputs, model=name)


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
    inputs, outputs = graph.signature(model)
    return complete(override(recipe, **source.flags), inputs, outputs, model=name)
