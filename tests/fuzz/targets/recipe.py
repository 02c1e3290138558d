"""A recipe, in a TOML file or in a model's metadata."""

import functools
from pathlib import Path
from random import Random

import onnx
import onnx_ir as ir

from quantseg import graph
from quantseg.data import open_dataset
from quantseg.data.recipe import METADATA_KEY, image_input, recipe_from_toml
from quantseg.quantization.float_model import RecipeSource, resolve_recipe
from tests.fuzz import corpus
from tests.fuzz.mutation import pixels, toml
from tests.fuzz.target import Target

_LARGEST = 64


@functools.cache
def _model(shape: tuple[int | str, ...]) -> ir.Model:
    proto = onnx.ModelProto.FromString(corpus.network(corpus.UNET))
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, shape, strict=True):
        dim.CopyFrom(onnx.TensorShapeProto.Dimension(dim_param=size) if isinstance(size, str) else dim)
    return graph.load(proto.SerializeToString())


def make(random: Random, folder: Path) -> None:
    """A recipe of which lines, values or bytes are changed, and an image to read by it."""
    (folder / "recipe.toml").write_bytes(toml.mutated(random, corpus.RECIPE))
    (folder / "data").mkdir()
    (folder / "data" / "a.png").write_bytes(pixels.image(random, (16, 16), formats=("PNG",)))


def run(random: Random, folder: Path) -> None:
    """The recipe read from file or metadata, completed, written as TOML and read again; then an image read by it."""
    model = _model(random.choice(((1, 3, 16, 16), ("N", 3, "H", "W"), ("N", "C", "H", "W"))))
    if random.random() < 0.3:
        model = model.clone()
        text = (folder / "recipe.toml").read_bytes().decode("utf-8", "replace")
        model.metadata_props[METADATA_KEY] = text
        source = RecipeSource()
    else:
        source = RecipeSource(folder / "recipe.toml")
    recipe = resolve_recipe(model, "m.onnx", source)
    assert recipe_from_toml(recipe.to_toml(), source="again") == recipe
    if recipe.input.size is not None and max(recipe.input.size) <= _LARGEST:
        inputs = image_input(graph.signature(model)[0], recipe.input)
        open_dataset(folder / "data", recipe, inputs=inputs).load(0)
    (folder / "out.toml").write_text(recipe.to_toml(), encoding="utf-8")


RECIPE = Target("a recipe (TOML, or a model's metadata)", make, run)
