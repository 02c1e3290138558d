"""Data: a folder of images and masks becomes labelled images, and these become model inputs.

A layout is how a folder of images and masks is arranged; a new one is a module and a line in LAYOUTS. A dataset is
named by one string, FOLDER or LAYOUT:FOLDER#SPLIT (`address.py`); most layouts are recognised from the folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from quantseg.data.address import Address, parse_address
from quantseg.data.dataset import Dataset, Item, NoImages, Subset
from quantseg.data.folder import choose
from quantseg.data.inputs import open_inputs
from quantseg.data.layouts.arrays import ARRAYS, open_arrays
from quantseg.data.layouts.binary import BINARY
from quantseg.data.layouts.camvid import CAMVID
from quantseg.data.layouts.cells import CELLS
from quantseg.data.layouts.cityscapes import CITYSCAPES
from quantseg.data.layouts.coco import COCO
from quantseg.data.layouts.images import IMAGES
from quantseg.data.layouts.layout import Layout
from quantseg.data.layouts.recognition import locate
from quantseg.data.layouts.voc import VOC
from quantseg.data.model_inputs import ModelInputs
from quantseg.data.recipe import Recipe
from quantseg.data.samples import InstanceSample, Sample, Samples
from quantseg.errors import DataError
from quantseg.graph import TensorSpec

__all__ = [
    "LAYOUTS",
    "Address",
    "Dataset",
    "InstanceSample",
    "Item",
    "Layout",
    "ModelInputs",
    "NoImages",
    "Sample",
    "Samples",
    "Subset",
    "open_dataset",
    "open_samples",
]

LAYOUTS: Mapping[str, Layout] = {
    "images": IMAGES,
    "arrays": ARRAYS,
    "camvid": CAMVID,
    "voc": VOC,
    "cityscapes": CITYSCAPES,
    "coco": COCO,
    "binary": BINARY,
    "cells": CELLS,
}


def open_dataset(
    path: Path | Address,
    recipe: Recipe,
    *,
    inputs: ModelInputs | TensorSpec,
    limit: int | None = None,
    masks: bool = True,
) -> Dataset:
    """The dataset as model inputs; hidden files and files of other kinds are skipped.

    path: a folder, LAYOUT:FOLDER#SPLIT, or an Address, which may allow links that lead out of the folder. recipe:
    completed. inputs: the model's; a spec is that of its only input. limit: at most so many images, evenly spread over
    the sorted names. masks: whether to look for masks; calibration needs none. Where the layout has an id for ignored
    pixels, they get the recipe's ignore_index instead.
    Raises DataError where the folder is missing, has no images or arrays, fits no layout or several, has several splits
    of which none is chosen, or lacks the masks of some images; and for a symbolic link that leads out of the folder.
    """
    name, place, split = locate(parse_address(path, LAYOUTS), LAYOUTS)
    find = LAYOUTS[name].find
    if find is None:
        return open_arrays(place, recipe, ModelInputs.of(inputs), limit=limit, masks=masks)
    return open_inputs(_limited(find(place, split, masks), limit), recipe, ModelInputs.of(inputs), place=place)


def open_samples(
    path: Path | str | Address,
    *,
    dataset: str | None = None,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    ignore_index: int | None = None,
    limit: int | None = None,
) -> Samples:
    """Labelled images at the resolution of their files, independent of any model; for training.

    path: a folder, LAYOUT:FOLDER#SPLIT, or an Address. dataset: the layout; None is the one that the path names or that
    is recognised. classes: class names, instead of those of the layout. ignore_index: the id to give to ignored pixels;
    None is the layout's own. limit: at most so many images, evenly spread.
    Raises DataError as `open_dataset` does, and where there are no masks.
    """
    name, place, split = locate(parse_address(path, LAYOUTS, layout=dataset, split=split), LAYOUTS)
    find = LAYOUTS[name].find
    if find is None:
        raise DataError(f"{place}: {name} are model inputs, not images; give images with masks")
    found = find(place, split, True)
    if any(row.mask_place is None for row in found.rows):
        raise DataError(f"{place}: no masks in it; as {name} it would hold {LAYOUTS[name].tree}")
    named = found.classes if classes is None else tuple(classes)
    ignored = found.ignore_index if ignore_index is None else ignore_index
    if found.void is not None and ignored is not None and ignored != found.void and ignored < len(named):
        raise DataError(f"{place}: ignore_index {ignored} is class {named[ignored]!r}; give another id")
    return _limited(replace(found, classes=named, ignore_index=ignored), limit)


def _limited(samples: Samples, limit: int | None) -> Samples:
    return replace(samples, rows=choose(samples.rows, limit))
