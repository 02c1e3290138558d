"""Random model inputs, for measuring latency and for profiling, where the values do not matter.

Other inputs than the image are the constants that are given for them; without these, numbers and vectors are ones: a
scale, a size or a count of one is one that most models take.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data import ModelInputs
from quantseg.errors import ModelError
from quantseg.graph import TensorSpec
from quantseg.quantization.float_model import RecipeSource, inputs_of, resolve_recipe
from quantseg.quantization.model_files import AnyModel, as_file, read_file
from quantseg.runtimes import DEFAULT, Runtime
from quantseg.runtimes.latency import Timings, Turns, benchmark, random_feeds


def feeds_for(path: Path, source: RecipeSource | None = None) -> Mapping[str, NDArray[Any]]:
    """Random inputs of the model's shapes, the same on every call.

    source: of the recipe, which gives the sizes that the model leaves open, and of constants. Raises ModelError or
    RecipeError where neither model nor recipe gives a size, DataError for a constant that does not fit.
    """
    given = source or RecipeSource()
    model = read_file(path)
    specs, _ = graph.signature(model)
    if not given.inputs and not any(None in spec.shape for spec in specs):
        most = max(specs, key=lambda spec: len(spec.shape))
        return drawn(ModelInputs.among(specs, most, {}, model=str(path)), [n or 1 for n in most.shape])
    recipe = resolve_recipe(model, str(path), given)
    inputs, image = inputs_of(model, str(path), recipe, given), recipe.input
    assert image.size is not None
    batch, channels = inputs.image.shape[0] or 1, 1 if image.channels == "GRAY" else 3
    shape = (batch, channels, *image.size) if image.layout == "NCHW" else (batch, *image.size, channels)
    declared = zip(inputs.image.shape, shape, strict=True)
    return drawn(inputs, tuple(size if fixed is None else fixed for fixed, size in declared))


def drawn(inputs: ModelInputs, image: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Random inputs of a model, the same on every call. image: the shape of the input that takes the image."""
    shapes, fixed = inputs.shapes(image), inputs.fixed(image)
    random = random_feeds([replace(spec, shape=shapes[spec.name]) for spec in (inputs.image, *inputs.others)])
    ones = {s.name: np.ones(shapes[s.name], s.dtype) for s in inputs.others if len(s.shape) < 2}
    return random | ones | fixed


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


def run_once(
    model: ir.Model, inputs: Sequence[TensorSpec], names: Sequence[str], runtime: Runtime = DEFAULT
) -> list[NDArray[Any]]:
    """The named tensors of one run on random inputs. Raises ModelError where the runtime does not run the model."""
    with (
        graph.as_session_source(graph.expose(model, names)) as source,
        closing(runtime.open(source, threads=1, spinning=False)) as session,
    ):
        return session.run(random_feeds(inputs), names)


def open_once(model: ir.Model, runtime: Runtime) -> None:
    """Raises ModelError where the runtime does not open the model, at its default optimisation."""
    with graph.as_session_source(model) as source:
        runtime.open(source, threads=1, spinning=False).close()
