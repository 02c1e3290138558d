"""Layout `arrays`: .npy or .npz files that are complete model inputs, batch axis included, without preprocessing.

An .npz file holds the inputs of a model by name.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.dataset import Dataset, Item
from quantseg.data.folder import FolderDataset, Listing, choose, files_below, list_folder, pair_masks
from quantseg.data.layouts.layout import Layout
from quantseg.data.masks import read_mask
from quantseg.data.model_inputs import ModelInputs, check_fits, with_all_inputs
from quantseg.data.npy import read_npy, read_shape
from quantseg.data.npz import names_in_npz, read_npz
from quantseg.data.place import Place
from quantseg.data.recipe import Recipe
from quantseg.data.values import VOLUME
from quantseg.errors import DataError
from quantseg.files import limits
from quantseg.graph import TensorSpec

ARRAY_SUFFIXES = frozenset({".npy", ".npz"})


@dataclass(frozen=True)
class ArrayReader:
    """Reads arrays, which are fed to the model unchanged."""

    recipe: Recipe
    inputs: ModelInputs

    def __call__(self, name: str, path: Path, mask: Path | None) -> Item:
        """The item of an array file and its mask, of the same height and width. Raises DataError naming the file."""
        tensor, others = self._read(path)
        if mask is None:
            return Item(name, tensor, None, None, others)
        if len(tensor) != 1:
            raise DataError(f"{path}: a batch of {len(tensor)} for one mask; save one input per file")
        if self.recipe.input.layout == VOLUME:
            raise DataError(f"{path}: masks of volumes are not read; leave them out with masks=False")
        height_axis = 2 if self.recipe.input.layout == "NCHW" else 1
        height, width = tensor.shape[height_axis : height_axis + 2]
        labels = read_mask(mask, self.recipe.output, extent=(height, width), whose=path.name)
        return Item(name, tensor, None, labels, others)

    def _read(self, path: Path) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """The input that takes the image, and those of the others that the file holds."""
        image = self.inputs.image

        def check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
            _check_fits(path, shape, dtype, image, self.recipe.input.layout)

        if path.suffix.lower() != ".npz":
            return read_npy(path, max_items=limits.ARRAY_ITEMS, check=check), {}
        held = names_in_npz(path) if self.inputs.others else ()
        if image.name not in held and any(spec.name in held for spec in self.inputs.others):
            names = ", ".join(map(repr, held))
            raise DataError(f"{path}: holds {names} and not input {image}; save that under its name")
        others = [spec for spec in self.inputs.others if spec.name in held]
        tensor = read_npz(path, image.name, max_items=limits.ARRAY_ITEMS, check=check)
        return tensor, {spec.name: self._other(path, spec) for spec in others}

    def _other(self, path: Path, spec: TensorSpec) -> NDArray[Any]:
        return read_npz(
            path, spec.name, max_items=limits.ARRAY_ITEMS, check=lambda *found: check_fits(path, spec, *found)
        )


def open_arrays(
    place: Place, recipe: Recipe, inputs: ModelInputs, *, limit: int | None = None, masks: bool = True
) -> Dataset:
    """A folder of arrays as a dataset. Raises DataError where it has no arrays, or lacks the masks of some."""
    root = list_folder(place).root
    names = files_below(root, ARRAY_SUFFIXES)
    if not names:
        raise DataError(f"{root}: no arrays in it; put in files of {' '.join(sorted(ARRAY_SUFFIXES))}")
    listing = Listing(root, choose(names, limit))
    found = FolderDataset(pair_masks(listing) if masks else listing, ArrayReader(recipe, inputs))
    return with_all_inputs(found, inputs)


def first_array_shape(folder: Path, *, follow_links: bool = False) -> tuple[int, ...] | None:
    """The shape that the header of the folder's first .npy file declares; None without one. Raises DataError."""
    place = Place.of(folder, follow_links=follow_links)
    names = files_below(list_folder(place).root, frozenset({".npy"})) if place.is_dir() else ()
    return read_shape((place / names[0]).path) if names else None


ARRAYS = Layout(tree=".npy or .npz files that are model inputs as they stand", find=None)


def _check_fits(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], spec: TensorSpec, layout: str | None) -> None:
    if dtype.name != spec.dtype:
        raise DataError(
            f"{path}: {dtype} values, input {spec} takes {spec.dtype}; save it with .astype({spec.dtype!r})"
        )
    found = "x".join(map(str, shape)) or "scalar"
    if len(shape) != len(spec.shape):
        raise DataError(f"{path}: shape {found} does not fit input {spec}; save it with the batch axis")
    channel_axis = 3 if layout == "NHWC" else 1
    wanted = spec.shape[channel_axis]
    if wanted not in (None, shape[channel_axis]):
        raise DataError(
            f"{path}: {shape[channel_axis]} channels at axis {channel_axis}, input {spec} takes {wanted}; "
            f"save it as {layout}"
        )
    if 0 in shape or any(fixed not in (None, size) for fixed, size in zip(spec.shape, shape, strict=True)):
        raise DataError(f"{path}: shape {found} does not fit input {spec}; save it in that shape")
