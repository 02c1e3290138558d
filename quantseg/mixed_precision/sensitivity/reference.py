"""The float model's answers, computed once for every image and kept on disk: memory does not grow with the images."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg import graph
from quantseg.data import Dataset
from quantseg.data.heads import class_map
from quantseg.data.recipe import OutputRecipe, Recipe
from quantseg.errors import DataError, ModelError, OutputError
from quantseg.evaluation.metrics.sqnr import Sqnr
from quantseg.graph.preparation import Prepared
from quantseg.progress import Track
from quantseg.runtimes import WEIGHTS_AS_WRITTEN

Array = NDArray[Any]


@dataclass(frozen=True)
class Reference:
    """One image: the file of what the model is fed, those of its float output and masks, and the output's Σ r²."""

    tensor: Path
    output: Path
    masks: Path
    signal: float


@contextmanager
def float_answers(
    prepared: Prepared, input_name: str, data: Dataset, recipe: Recipe, *, track: Track
) -> Iterator[tuple[Reference, ...]]:
    """The references of all images, in their order; their files are removed at the end.

    recipe: completed. Raises DataError for no images, ModelError for an output that is not finite, OutputError where
    the disk has no room.
    """
    total = len(data.names)
    if not total:
        raise DataError("no images to measure on; give a folder that holds some")
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        with (
            graph.as_session_source(prepared.model) as source,
            closing(WEIGHTS_AS_WRITTEN.open(source, threads=1, spinning=False)) as session,
        ):
            references = []
            for index in track(range(total), total=total, what="float model"):
                tensor = data.load(index).tensor
                (output,) = session.run({input_name: tensor}, [str(recipe.output.name)])
                if not np.isfinite(output).all():
                    raise ModelError(
                        f"output {recipe.output.name!r} holds NaN or infinity for {data.names[index]}; "
                        "check the preprocessing and the model"
                    )
                arrays = {"tensor": tensor, "output": output, "masks": compact(class_map(output, recipe.output))}
                files = {part: Path(folder) / f"{index}.{part}.npy" for part in arrays}
                try:
                    for part, array in arrays.items():
                        np.save(files[part], array)
                except OSError as error:
                    raise OutputError(
                        f"{folder}: has no room for the float outputs ({error.strerror or error}); "
                        "use fewer images, or set TMPDIR to a larger disk"
                    ) from error
                references.append(Reference(**files, signal=Sqnr.from_outputs(output, output).signal))
        yield tuple(references)


def fed(reference: Reference) -> Array:
    """What the model is fed for the image."""
    return _mapped(reference.tensor)


def noise_and_flips(output: Array, reference: Reference, recipe: OutputRecipe) -> tuple[float, int, int]:
    """Σ (r − q)² of another model's output, how many pixels change their class, and how many there are."""
    wide = np.result_type(output, np.float32)  # class ids may be of a type that has no negative numbers
    error = np.subtract(output, _mapped(reference.output), dtype=wide)
    noise = float(np.square(error, dtype=np.float64).sum())
    differs = class_map(output, recipe) != _mapped(reference.masks)
    flipped = np.any(differs, axis=1) if differs.ndim == 4 else differs
    return noise, int(np.count_nonzero(flipped)), flipped.size


def compact(masks: Array) -> Array:
    """The same class ids in the smallest type that holds them."""
    if masks.dtype == np.bool_:
        return masks
    ends = int(masks.min(initial=0)), int(masks.max(initial=0))
    return masks.astype(np.result_type(*map(np.min_scalar_type, ends)))


def _mapped(path: Path) -> Array:
    array: Array = np.load(path, mmap_mode="r")
    return array
