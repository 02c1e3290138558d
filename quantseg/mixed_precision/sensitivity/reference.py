"""The reference outputs, computed once for every image and kept on disk: memory does not grow with the images."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg import graph
from quantseg.data import Dataset
from quantseg.data.heads import class_map, head_of
from quantseg.data.recipe import OutputRecipe, Recipe
from quantseg.errors import DataError, OutputError
from quantseg.evaluation.metrics.sqnr import Sqnr
from quantseg.evaluation.predictions import check_finite
from quantseg.graph.preparation import Prepared
from quantseg.progress import Track
from quantseg.runtimes import WEIGHTS_AS_WRITTEN

Array = NDArray[Any]


@dataclass(frozen=True)
class Reference:
    """The files of one image.

    tensor: the model input. outputs: the float model's outputs r. masks: the class ids that follow from these. signal:
    Σ r² over the outputs.
    """

    tensor: Path
    outputs: tuple[Path, ...]
    masks: Path
    signal: float


@contextmanager
def float_answers(
    prepared: Prepared, input_name: str, data: Dataset, recipe: Recipe, *, track: Track
) -> Iterator[tuple[Reference, ...]]:
    """The reference outputs of all images, in their order; the files are removed when the context ends.

    recipe: completed, with no field left open. Raises DataError for no images, ModelError for an output that is not
    finite, OutputError where the disk has no room.
    """
    total, head = len(data.names), head_of(recipe.output)
    names = head.outputs(recipe.output, graph.signature(prepared.model)[1])
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
                outputs = session.run({input_name: tensor}, names)
                check_finite(names, outputs, data.names[index])
                masks = compact(head.masks(outputs, recipe.output))
                stored = [tensor, masks, *outputs]
                files = [Path(folder) / f"{index}.{part}.npy" for part in range(len(stored))]
                try:
                    for file, array in zip(files, stored, strict=True):
                        np.save(file, array)
                except OSError as error:
                    raise OutputError(
                        f"{folder}: has no room for the float outputs ({error.strerror or error}); "
                        "use fewer images, or set TMPDIR to a larger disk"
                    ) from error
                signal = sum(Sqnr.from_outputs(output, output).signal for output in outputs)
                references.append(Reference(files[0], tuple(files[2:]), files[1], signal))
        yield tuple(references)


def fed(reference: Reference) -> Array:
    """The model input of the image."""
    return _mapped(reference.tensor)


def noise_and_flips(outputs: Sequence[Array], reference: Reference, recipe: OutputRecipe) -> tuple[float, int, int]:
    """Σ (r − q)² of another model's outputs q, the number of pixels whose class differs, and the number of pixels."""
    noise = 0.0
    for output, real in zip(outputs, reference.outputs, strict=True):
        wide = np.result_type(output, np.float32)  # class ids may be of an unsigned type
        error = np.subtract(output, _mapped(real), dtype=wide)
        noise += float(np.square(error, dtype=np.float64).sum())
    differs = class_map(outputs, recipe) != _mapped(reference.masks)
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
