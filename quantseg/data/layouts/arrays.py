"""Layout `arrays`: .npy or .npz files that are complete model inputs, batch axis included, without preprocessing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg import limits
from quantseg.data.dataset import Item
from quantseg.data.folder import FolderDataset, Listing, choose, files_below, list_folder, pair_masks
from quantseg.data.layouts.layout import Layout
from quantseg.data.masks import read_mask
from quantseg.data.npy import read_npy, read_npz
from quantseg.data.place import Place
from quantseg.data.recipe import Recipe
from quantseg.errors import DataError
from quantseg.graph import TensorSpec

ARRAY_SUFFIXES = frozenset({".npy", ".npz"})


@dataclass(frozen=True)
class ArrayReader:
    """Reads arrays, which are fed to the model unchanged."""

    recipe: Recipe
    spec: TensorSpec

    def __call__(self, name: str, path: Path, mask: Path | None) -> Item:
        """The item of an array file and its mask, of the same height and width. Raises DataError naming the file."""
        tensor = self._read(path)
        if mask is None:
            return Item(name, tensor, None, None)
        if len(tensor) != 1:
            raise DataError(f"{path}: a batch of {len(tensor)} for one mask; save one input per file")
        height_axis = 2 if self.recipe.input.layout == "NCHW" else 1
        height, width = tensor.shape[height_axis : height_axis + 2]
        labels = read_mask(mask, self.recipe.output, extent=(height, width), whose=path.name)
        return Item(name, tensor, None, labels)

    def _read(self, path: Path) -> NDArray[Any]:
        def check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
            _check_fits(path, shape, dtype, self.spec, self.recipe.input.layout)

        if path.suffix.lower() == ".npz":
            return read_npz(path, self.spec.name, max_items=limits.ARRAY_ITEMS, check=check)
        return read_npy(path, max_items=limits.ARRAY_ITEMS, check=check)


def open_arrays(
    place: Place, recipe: Recipe, inputs: TensorSpec, *, limit: int | None = None, masks: bool = True
) -> FolderDataset:
    """A folder of arrays as a dataset. Raises DataError where it has no arrays, or lacks the masks of some."""
    root = list_folder(place).root
    names = files_below(root, ARRAY_SUFFIXES)
    if not names:
        raise DataError(f"{root}: no arrays in it; put in files of {' '.join(sorted(ARRAY_SUFFIXES))}")
    listing = Listing(root, choose(names, limit))
    return FolderDataset(pair_masks(listing) if masks else listing, ArrayReader(recipe, inputs))


ARRAYS = Layout(tree=".npy or .npz files that are model inputs as they stand", find=None)


def _check_fits(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], spec: TensorSpec, layout: str | None) -> None:
    if dtype.name != spec.dtype:
        raise DataError(
            f"{path}: {dtype} values, input {spec} takes {spec.dtype}; save it with .astype({spec.dtype!r})"
        )
    found = "x".join(map(str, shape)) or "scalar"
    if len(shape) != len(spec.shape):
        raise DataError(f"{path}: shape {found} does not fit input {spec}; save it with the batch axis")
    channel_axis = 1 if layout == "NCHW" else 3
    wanted = spec.shape[channel_axis]
    if wanted not in (None, shape[channel_axis]):
        raise DataError(
            f"{path}: {shape[channel_axis]} channels at axis {channel_axis}, input {spec} takes {wanted}; "
            f"save it as {layout}"
        )
    if 0 in shape or any(fixed not in (None, size) for fixed, size in zip(spec.shape, shape, strict=True)):
        raise DataError(f"{path}: shape {found} does not fit input {spec}; save it in that shape")
