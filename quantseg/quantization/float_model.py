"""A float model, read and prepared, with the recipe that turns images into its input."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.data import ModelInputs
from quantseg.data.model_inputs import Array, identity
from quantseg.data.recipe import (
    METADATA_KEY,
    Recipe,
    complete,
    concrete,
    image_input,
    override,
    recipe_from_file,
    recipe_from_toml,
    sized_like,
)
from quantseg.data.values import listing
from quantseg.errors import ModelError, printable
from quantseg.graph import TensorSpec
from quantseg.graph.declarations import computes_sizes, drop_stale_shapes, with_input_sizes
from quantseg.graph.half_floats import is_half, widen
from quantseg.graph.preparation import Fusing, Prepared, prepare, of_target
from quantseg.quantization.operators import KeptFloat, integer_form

Run = Callable[[ir.Model, Sequence[TensorSpec], Sequence[str]], Sequence[NDArray[Any]]]
"""(model, its inputs with all sizes, names) → the named tensors, from one run on any input."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecipeSource:
    """Where the recipe comes from: a TOML file, else the model's metadata; flags override either.

    inputs: name of an input beside the image → its constant: a number, an array or the path of an .npy file. shape: of
    an array among the data, which tells a height and width that model and recipe leave open. default: the recipe where
    neither file nor metadata has one.
    """

    file: Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, object] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    default: Recipe | None = None

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

    def is_prepared_for(self, fusing: Fusing | None, without: frozenset[str]) -> bool:
        """Whether its graph is what `read_float_model` prepares with these arguments."""
        return self.prepared.target == of_target(fusing, without)

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
        takes = f"takes {listing((self.input, *self.inputs.others))}; head {output.head} on {output.name!r}"
        return f"FloatModel {printable(self.name)}: {nodes} nodes; {takes}"


def read_float_model(
    source: Path | bytes,
    recipe: RecipeSource | None = None,
    *,
    fusing: Fusing | None = None,
    without: frozenset[str] = frozenset(),
    run: Run | None = None,
    check_opens: Callable[[Path | bytes], None] | None = None,
) -> FloatModel:
    """Reads a float model and prepares it for quantization. Raises ModelError, also for a quantised model.

    fusing: what the target's runtime fuses; None without a single target. without: rewrites of the graph to leave out.
    run: tells types and shapes that the graph does not; None leaves them open. check_opens: called with the source
    before its graph is edited; raises ModelError where no runtime opens it. Raises DataError for constants that do not
    fit.
    """
    given = recipe or RecipeSource()
    model = graph.load(source)
    name = str(source) if isinstance(source, Path) else "the model"
    if graph.is_quantised(model):
        raise ModelError(f"{name}: is quantised already; give the float model it was made from")
    for change in drop_stale_shapes(model).changes:
        log.warning("%s: %s: %s; the declaration is dropped", Path(name).name, change.node, change.detail)
    digest = graph.digest(source) if isinstance(source, Path) else hashlib.sha256(source).hexdigest()
    if is_half(model):
        log.warning("%s: float16 or bfloat16 inside; its integers are made from float32", Path(name).name)
    if is_half(model, ir.DataType.BFLOAT16):  # which onnxruntime has no kernels for, to compare with
        widen(model)
        source = graph.to_bytes(model)
    if check_opens is not None:
        with naming(name):
            check_opens(source)
    completed = resolve_recipe(model, name, given)
    inputs = inputs_of(model, name, completed, given)
    specs = concrete(graph.signature(model)[0], completed.input)

    def prepared_graph(of: ir.Model) -> Prepared:
        runs = None if run is None else lambda part, names: run(part, specs, names)
        return prepare(of, fusing=fusing, without=without, run=runs)

    with naming(name):
        prepared = _sized(model, specs, prepared_graph, name)
    return FloatModel(source, digest, prepared, completed, inputs.image, inputs.constants)


def inputs_of(model: ir.Model, name: str, recipe: Recipe, source: RecipeSource) -> ModelInputs:
    """All inputs of a float or quantised model, with the constants of the source. Raises ModelError, DataError.

    name: begins messages. recipe: completed.
    """
    specs, _ = graph.signature(model)
    return ModelInputs.among(specs, image_input(specs, recipe.input), source.inputs, model=name)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Errors about a graph in memory, which runtimes call the model, name its file instead."""
    try:
        yield
    except ModelError as error:
        told = str(error)
        raise ModelError(f"{name}: {told.removeprefix('model: ')}") if not told.startswith(name) else error from error


def _sized(
    model: ir.Model, specs: Sequence[TensorSpec], prepared_graph: Callable[[ir.Model], Prepared], name: str
) -> Prepared:
    """The prepared graph; of fixed input sizes where it computes sizes from them and more integers come of that."""
    as_is = prepared_graph(model)
    if not computes_sizes(as_is.model):
        return as_is
    fixed = prepared_graph(with_input_sizes(model, {spec.name: spec.shape for spec in specs}))
    if _kept_float(fixed) >= _kept_float(as_is):
        return as_is
    sizes = ", ".join(str(spec) for spec in specs)
    log.warning("%s: computes sizes from its input, which is now fixed: %s", Path(name).name, sizes)
    return fixed


def _kept_float(prepared: Prepared) -> int:
    """How many nodes on float tensors have no integer form."""
    pixels = (node for node in prepared.model.graph if any(value.dtype == ir.DataType.FLOAT for value in node.outputs))
    return sum(isinstance(integer_form(node), KeptFloat) for node in pixels)


def declared_recipe(model: ir.Model, name: str, source: RecipeSource) -> Recipe:
    """The recipe as file, metadata and flags declare it, not completed. name: begins messages. Raises RecipeError."""
    if source.file is not None:
        recipe = recipe_from_file(source.file)
    elif METADATA_KEY in model.metadata_props:
        recipe = recipe_from_toml(model.metadata_props[METADATA_KEY], source=f"{name}, metadata")
    elif source.default is not None:
        recipe = source.default
    else:
        recipe = Recipe()
        if all(source.flags.get(word) is None for word in ("scale", "mean", "std")):
            log.info("%s: no preprocessing declared; pixels are scaled to 0…1 (check says what fits)", Path(name).name)
    return override(recipe, **source.flags)


def resolve_recipe(model: ir.Model, name: str, source: RecipeSource) -> Recipe:
    """The completed recipe of a float or quantised model. name: begins messages. Raises RecipeError, ModelError."""
    wanted = declared_recipe(model, name, source)
    try:
        inputs, outputs = graph.signature(model)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    if source.shape is not None:
        wanted = sized_like(wanted, inputs, source.shape)
    return complete(wanted, inputs, outputs, model=name)
