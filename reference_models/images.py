"""Where training images come from: a folder that is read once into memory, or drawings that never repeat."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantseg.data import LAYOUTS, Address, Samples, open_samples
from quantseg.data.drawn_cells import cell_image
from quantseg.data.masks import resize_nearest
from quantseg.data.place import Place
from quantseg.data.preprocess import resize
from quantseg.errors import DataError
from quantseg.evaluation.reference_models import split_fifth
from quantseg.progress import Track, quiet
from reference_models.zoo import DataSet

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (N, H, W, 3) in RGB, and class ids (N, H, W)."""

_MAX_BYTES = 8 << 30
# Drawings are numbered: the demo and the tests draw from 0, validation and training from far above.
_VALIDATION_FIRST, _TRAINING_FIRST = 1_000_000, 10_000_000
_DRAWN_PER_EPOCH, _DRAWN_FOR_VALIDATION = 800, 64


class Images(Protocol):
    """classes: names, by id. ignore_index: id of pixels that count nowhere. digests: of each split, by name."""

    classes: tuple[str, ...]
    ignore_index: int | None
    digests: dict[str, str]

    def __len__(self) -> int:
        """Images of one epoch."""

    def epoch(self, number: int, *, batch: int, seed: int) -> Iterator[Batch]:
        """The full batches of one epoch; the same ones for the same number and seed."""

    def validation(self) -> Iterator[Batch]:
        """Every image that training never sees, one by one."""

    def class_pixels(self) -> NDArray[np.int64]:
        """How many training pixels each class has."""


@dataclass(frozen=True)
class Loaded:
    """One split in memory, at the model's size."""

    images: NDArray[np.uint8]
    masks: NDArray[np.int32]


@dataclass(frozen=True)
class FolderImages:
    """Images of a folder, shuffled anew in every epoch; what does not fill the last batch is left out."""

    train: Loaded
    held_out: Loaded
    classes: tuple[str, ...]
    ignore_index: int | None
    digests: dict[str, str]

    def __len__(self) -> int:
        return len(self.train.images)

    def epoch(self, number: int, *, batch: int, seed: int) -> Iterator[Batch]:
        """See `Images`. Raises DataError where the images do not fill one batch."""
        order = np.random.Generator(np.random.PCG64([seed, number])).permutation(len(self))
        for first in range(0, len(self) - batch + 1, batch):
            chosen = order[first : first + batch]
            yield self.train.images[chosen], self.train.masks[chosen].astype(np.int64)

    def validation(self) -> Iterator[Batch]:
        """See `Images`."""
        for image, mask in zip(self.held_out.images, self.held_out.masks, strict=True):
            yield image[None], mask[None].astype(np.int64)

    def class_pixels(self) -> NDArray[np.int64]:
        """See `Images`."""
        return _class_pixels(self.train.masks, len(self.classes), self.ignore_index)


@dataclass(frozen=True)
class DrawnImages:
    """Blood smears drawn as they are needed, so that no two steps see the same one."""

    classes: tuple[str, ...]
    size: tuple[int, int]
    crop: tuple[int, int]
    digests: dict[str, str]
    ignore_index: int | None = None

    def __len__(self) -> int:
        return _DRAWN_PER_EPOCH

    def epoch(self, number: int, *, batch: int, seed: int) -> Iterator[Batch]:
        """See `Images`."""
        first = _TRAINING_FIRST * (1 + seed) + number * len(self)
        for start in range(first, first + len(self) - batch + 1, batch):
            yield self._batch(range(start, start + batch), self.crop)

    def validation(self) -> Iterator[Batch]:
        """See `Images`."""
        for index in range(_DRAWN_FOR_VALIDATION):
            yield self._batch([_VALIDATION_FIRST + index], self.size)

    def class_pixels(self) -> NDArray[np.int64]:
        """See `Images`; of the first epoch's."""
        masks = (masks for _, masks in self.epoch(0, batch=1, seed=0))
        return sum((np.bincount(m.ravel(), minlength=len(self.classes)) for m in masks), np.zeros(1, np.int64))

    def _batch(self, numbers: "range | list[int]", size: tuple[int, int]) -> Batch:
        images, masks = zip(*(cell_image(number, size) for number in numbers), strict=True)
        return np.stack(images), np.stack(masks).astype(np.int64)


def open_images(
    data: DataSet, folder: Path | None, *, crop: tuple[int, int] | None, batch: int, track: Track = quiet
) -> Images:
    """The images of a data set. folder: where it lies; None for drawings.

    Raises DataError where an image or mask is missing or damaged, or where they do not fill one batch.
    """
    size = data.input.size
    assert size is not None
    if data.layout == "cells":
        if batch > _DRAWN_PER_EPOCH:
            raise DataError(f"batch {batch}: an epoch draws {_DRAWN_PER_EPOCH} images; lower --batch")
        return DrawnImages(data.classes, size, crop or size, digests={})
    if folder is None:
        raise DataError(f"no images: give the folder of {data.name} with --data")
    train, held_out = _splits(data, folder)
    if len(train) < batch or not len(held_out):
        raise DataError(
            f"{folder}: {len(train)} images to train on and {len(held_out)} to validate on, for a batch of {batch}; "
            "add images or lower --batch"
        )
    if not train.classes:
        raise DataError(f"{folder}: the names of its classes are not known; give them with --classes sky,road,car")
    loaded = [_load(part, size, track, what) for part, what in ((train, "images"), (held_out, "validation images"))]
    for part, what in zip(loaded, ("train", "validate"), strict=True):
        if not _class_pixels(part.masks, len(train.classes), train.ignore_index).any():
            raise DataError(f"{folder}: no mask to {what} on has a pixel that counts; correct masks or --ignore-index")
    digests = {"train": train.fingerprint(), "val": held_out.fingerprint()}
    return FolderImages(*loaded, train.classes, train.ignore_index, digests)


def _class_pixels(masks: NDArray[np.int32], classes: int, ignore_index: int | None) -> NDArray[np.int64]:
    """How many pixels each class has; the ignored id is none."""
    return np.bincount(masks[(masks >= 0) & (masks < classes) & (masks != ignore_index)], minlength=classes)


def _splits(data: DataSet, folder: Path) -> tuple[Samples, Samples]:
    """The splits train… and val… of a tree that has them; else every fifth image is held out.

    VOC's trainval is neither: it holds the images of val.
    """
    where = Address(folder, follow_links=True)  # the images of whoever trains here
    splits = [split for split in LAYOUTS[data.layout].splits(Place(folder)) if split != "trainval"]
    train, val = ([split for split in splits if split.startswith(part)] for part in ("train", "val"))
    opened = partial(
        open_samples,
        where,
        dataset=data.layout,
        classes=data.classes or None,
        ignore_index=data.ignore_index,
    )
    if train and val:
        return opened(split=train[0]), opened(split=val[0])
    samples = opened()
    index = {name: place for place, name in enumerate(samples.names)}
    trained, held_out = split_fifth(samples.names)
    return samples.take([index[name] for name in trained]), samples.take([index[name] for name in held_out])


def _load(samples: Samples, size: tuple[int, int], track: Track, what: str) -> Loaded:
    needed = len(samples) * size[0] * size[1] * (3 + 4)
    if needed > _MAX_BYTES:
        raise DataError(f"{len(samples)} images of {size[0]}x{size[1]} need {needed >> 30} GiB; train on fewer")
    images = np.empty((len(samples), *size, 3), np.uint8)
    masks = np.empty((len(samples), *size), np.int32)
    for index in track(range(len(samples)), total=len(samples), what=f"reading {what}"):
        image, mask = samples.read(index)
        images[index] = np.asarray(resize(Image.fromarray(image), size, "bilinear"))
        masks[index] = resize_nearest(mask, size)
    return Loaded(images, masks)
