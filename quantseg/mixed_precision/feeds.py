"""Random model inputs, for measuring latency and for profiling, where the values do not matter."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data.recipe import image_input
from quantseg.errors import ModelError
from quantseg.graph import TensorSpec
from quantseg.quantization.float_model import RecipeSource, resolve_recipe
from quantseg.quantization.model_files import AnyModel, as_file
from quantseg.runtimes.latency import Timings, Turns, benchmark, random_feeds


def feeds_for(path: Path, source: RecipeSource | None = None) -> Mapping[str, NDArray[Any]]:
    """Random inputs of the model's shapes, the same on every call.

    source: of the recipe, which gives the sizes that the model leaves open. Raises ModelError or
    RecipeError where neither model nor recipe gives a size.
    """
    model = graph.load(path)
    inputs, _ = graph.signature(model)
    if not any(size is None for spec in inputs for size in spec.shape):
        return random_feeds(inputs)
    recipe = resolve_recipe(model, str(path), source or RecipeSource()).input
    image = image_input(inputs, recipe)
    assert recipe.size is not None
    batch, channels = image.shape[0], 1 if recipe.channels == "GRAY" else 3
    shape = (batch, channels, *recipe.size) if recipe.layout == "NCHW" else (batch, *recipe.size, channels)
    return random_feeds([TensorSpec(s.name, s.dtype, shape) if s is image else s for s in inputs])


def benchmark_models(
    models: Mapping[str, AnyModel] | Iterable[Path | str], source: RecipeSource, turns: Turns, context: Context
) -> Timings:
    """Measures the latency of models on random inputs. models: name → model, or paths. Raises ModelError."""
    named: Mapping[str, AnyModel]
    if isinstance(models, Mapping):
        named = models
    else:
        paths = [str(path) for path in models]
        named = {path: path for path in paths}
        if len(named) < len(paths):
            raise ModelError("a model was given twice; give each one once")
    with ExitStack() as stack:
        files = {name: stack.enter_context(as_file(model)) for name, model in named.items()}
        feeds = {name: feeds_for(path, source) for name, path in files.items()}
        runtime, threads = context.runtime, context.threads
        return benchmark(files, feeds, runtime=runtime, threads=threads, turns=turns, track=context.track)
