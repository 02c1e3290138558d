"""The reference outputs, computed once for every image and kept on disk: memory does not grow with the images."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data import Dataset
from quantseg.data.heads import InstanceHead, class_map, head_of
from quantseg.data.recipe import OutputRecipe, Recipe
from quantseg.errors import DataError, OutputError
from quantseg.evaluation.metrics.sqnr import Sqnr
from quantseg.evaluation.predictions import check_finite
from quantseg.graph.preparation import Prepared
from quantseg.runtimes import as_written

Array = NDArray[Any]


@dataclass(frozen=True)
class StoredArray:
    """An array in a file of its raw bytes, in C order.

    Not .npy, whose header numpy parses with `ast`: in CPython 3.11 that fails now and then while another thread parses.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, array: Array, path: Path) -> "StoredArray":
        """Writes the array. Raises OSError."""
        path.write_bytes(np.ascontiguousarray(array).data)
        return cls(path, array.shape, array.dtype)

    def mapped(self) -> Array:
        """The array, read when it is looked at; of no elements, from memory."""
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        return np.memmap(self.path, self.dtype, "r", shape=self.shape)


@dataclass(frozen=True)
class Reference:
    """The stored arrays of one image.

    feeds: the model's inputs by name. outputs: what is compared of the float model's outputs, r; see `compared`.
    masks: the class ids that follow from these. signal: Σ r² over them.
    """

    feeds: Mapping[str, StoredArray]
    outputs: tuple[StoredArray, ...]
    masks: StoredArray
    signal: float


@contextmanager
def reference_outputs(
    prepared: Prepared, input_name: str, data: Dataset, recipe: Recipe, *, context: Context
) -> Iterator[tuple[Reference, ...]]:
    """The reference outputs of all images, in their order; the files are removed when the context ends.

    input_name: of the input that takes the image. recipe: completed, with no field left open. Raises DataError for no
    images, ModelError for an output that is not finite, OutputError where the disk has no room.
    """
    total, head = len(data.names), head_of(recipe.output)
    names = head.outputs(recipe.output, graph.signature(prepared.model)[1])
    if not total:
        raise DataError("no images to measure on; give a folder that holds some")
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        with (
            graph.as_session_source(prepared.model) as source,
            closing(as_written(context.runtime).open(source, threads=1, spinning=False)) as session,
        ):
            references = []
            for index in context.track(range(total), total=total, what="float outputs"):
                feeds = data.load(index).feeds(input_name)
                outputs = session.run(feeds, names)
                check_finite(names, outputs, data.names[index])
                masks, real = compact(head.masks(outputs, recipe.output)), compared(outputs, recipe.output)
                stored = [masks, *real, *feeds.values()]
                try:
                    files = [
                        StoredArray.of(array, Path(folder) / f"{index}.{part}") for part, array in enumerate(stored)
                    ]
                except OSError as error:
                    raise OutputError(
                        f"{folder}: has no room for the float outputs ({error.strerror or error}); "
                        "use fewer images, or set TMPDIR to a larger disk"
                    ) from error
                signal = sum(Sqnr.from_outputs(array, array).signal for array in real)
                fed, made = files[1 + len(real) :], tuple(files[1 : 1 + len(real)])
                references.append(Reference(dict(zip(feeds, fed, strict=True)), made, files[0], signal))
        yield tuple(references)


def feeds_of(reference: Reference) -> dict[str, Array]:
    """The model's inputs for the image, by name."""
    return {name: stored.mapped() for name, stored in reference.feeds.items()}


def noise_and_flips(outputs: Sequence[Array], reference: Reference, recipe: OutputRecipe) -> tuple[float, int, int]:
    """Σ (r − q)² of another model's outputs q, the number of pixels whose class differs, and the number of pixels."""
    noise = 0.0
    for output, real in zip(compared(outputs, recipe), reference.outputs, strict=True):
        wide = np.result_type(output, np.float32)  # class ids may be of an unsigned type
        error = np.subtract(output, real.mapped(), dtype=wide)
        noise += float(np.square(error, dtype=np.float64).sum())
    differs = class_map(outputs, recipe) != reference.masks.mapped()
    flipped = np.any(differs, axis=1) if differs.ndim == 4 else differs
    return noise, int(np.count_nonzero(flipped)), flipped.size


def compared(outputs: Sequence[Array], recipe: OutputRecipe) -> Sequence[Array]:
    """What is compared of a model's outputs: they themselves, but of instances, of which two models may find different
    numbers, the margins of all pixels and scores.
    """
    head = head_of(recipe)
    return (head.margins(outputs, recipe).lead,) if isinstance(head, InstanceHead) else outputs


def compact(masks: Array) -> Array:
    """The same class ids in the smallest type that holds them."""
    if masks.dtype == np.bool_:
        return masks
    ends = int(masks.min(initial=0)), int(masks.max(initial=0))
    return masks.astype(np.result_type(*map(np.min_scalar_type, ends)))
