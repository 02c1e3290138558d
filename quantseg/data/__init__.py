"""Data: a folder becomes model inputs, with masks where there are any.

A layout is what the files of a folder are. A new one is a module and a line in LAYOUTS: the suffixes by which
its files are known, and how they are opened.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from quantseg.data.arrays import ARRAY_SUFFIXES, open_arrays
from quantseg.data.dataset import Dataset, Item
from quantseg.data.folder import Listing, choose, list_folder, pair_masks
from quantseg.data.images import IMAGE_SUFFIXES
from quantseg.data.pictures import open_pictures
from quantseg.errors import DataError
from quantseg.recipe import Recipe, TensorSpec

__all__ = ["LAYOUTS", "Dataset", "Item", "Layout", "open_dataset"]


@dataclass(frozen=True)
class Layout:
    """suffixes: of its files, in lower case. open: files, completed recipe, model input -> data set."""

    suffixes: frozenset[str]
    open: Callable[[Listing, Recipe, TensorSpec], Dataset]


LAYOUTS: Mapping[str, Layout] = {
    "pictures": Layout(IMAGE_SUFFIXES, open_pictures),
    "arrays": Layout(ARRAY_SUFFIXES, open_arrays),
}


def open_dataset(
    path: Path, recipe: Recipe, *, inputs: TensorSpec, limit: int | None = None, masks: bool = True
) -> Dataset:
    """The inputs in a folder, below it too; hidden files and files of other kinds are passed over.

    path: holds images/ (and masks/), or is such an images/ folder, or any folder. recipe: completed.
    inputs: the model's input that takes them. limit: at most so many, evenly spread over the sorted names.
    masks: whether to look for them; calibration does without.
    Raises DataError where the folder is missing, has no inputs, mixes layouts, or lacks masks for some.
    """
    listing = list_folder(path)
    by_layout = {
        layout: names
        for layout, row in LAYOUTS.items()
        if (names := tuple(n for n in listing.names if PurePosixPath(n).suffix.lower() in row.suffixes))
    }
    if not by_layout:
        suffixes = sorted(suffix for row in LAYOUTS.values() for suffix in row.suffixes)
        raise DataError(f"{path}: no images or arrays in it; put in files of {' '.join(suffixes)}")
    if len(by_layout) > 1:
        examples = " and ".join(f"{names[0]} ({layout})" for layout, names in by_layout.items())
        raise DataError(f"{path}: mixes {examples}; keep one kind in a folder")
    ((layout, names),) = by_layout.items()
    chosen = Listing(listing.root, choose(names, limit))
    return LAYOUTS[layout].open(pair_masks(chosen) if masks else chosen, recipe, inputs)
