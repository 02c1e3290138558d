"""Samples: images with their masks at the resolution of their files, before any model's preprocessing.

A layout finds the samples of a folder; each reads its own image and mask. They hold paths, not pixels, so they are
small and picklable. The same folder gives the same samples, in whatever order the system lists its files.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantseg.data.images import read_image
from quantseg.data.instances import Instances
from quantseg.data.masks import check_ids, check_size, read_values
from quantseg.data.preprocess import shown
from quantseg.errors import DataError
from quantseg.files import sha256_of_file
from quantseg.progress import Track, quiet

Decode = Callable[[NDArray[Any], Path], NDArray[Any]]
"""(values of a mask's file, path) → class ids. Raises DataError naming the file for a value that is not a label."""


class Sample(Protocol):
    """One image and its mask, if it has one; picklable."""

    @property
    def name(self) -> str:
        """A name unique within the samples: the image's posix path under the folder of images."""

    @property
    def mask_place(self) -> str | None:
        """Where the mask is read from, for messages; None without a mask."""

    def image(self) -> Image.Image:
        """The image, upright, in mode RGB, L or F. Raises DataError."""

    def mask(self) -> NDArray[Any]:
        """Class ids of the layout, (H, W); or planes (classes, H, W). Raises DataError."""

    def image_digest(self) -> str:
        """SHA-256 of the image, hexadecimal. Raises DataError."""

    def mask_digest(self) -> str:
        """SHA-256 of the data that the mask is read from, hexadecimal. Raises DataError."""


@runtime_checkable
class InstanceSample(Sample, Protocol):
    """A sample whose labels tell one instance from another."""

    def instances(self, extent: tuple[int, int], size: tuple[int, int]) -> Instances:
        """The labelled instances, resized to `size` as masks are; their classes count from 0, without background.

        extent: (height, width) of the image, which the labels must have. Raises DataError.
        """


@dataclass(frozen=True)
class FileSample:
    """An image file and a mask file. decode: from the mask file's values to class ids; None where they are ids."""

    name: str
    path: Path
    mask_path: Path | None = None
    decode: Decode | None = None

    @property
    def mask_place(self) -> str | None:
        """The mask's file."""
        return None if self.mask_path is None else str(self.mask_path)

    def image(self) -> Image.Image:
        """The image of the file. Raises DataError naming the file."""
        return read_image(self.path)

    def mask(self) -> NDArray[Any]:
        """The class ids of the mask's file. Raises DataError naming the file."""
        assert self.mask_path is not None
        values = read_values(self.mask_path)
        return values if self.decode is None else self.decode(values, self.mask_path)

    def image_digest(self) -> str:
        """SHA-256 of the file's bytes. Raises DataError."""
        return digest_of_file(self.path)

    def mask_digest(self) -> str:
        """SHA-256 of the mask file's bytes. Raises DataError."""
        assert self.mask_path is not None
        return digest_of_file(self.mask_path)


@dataclass(frozen=True)
class Samples:
    """Labelled images sorted by name, and the meaning of their class ids.

    rows: the samples. classes: class names, empty where the layout does not know them. void: the id of ignored pixels
    in the samples' masks, None where no pixels are ignored. ignore_index: the id that `read` gives to these pixels.
    instance_classes: names of the classes of instances, which have no background; empty where there are none.
    """

    rows: tuple[Sample, ...]
    classes: tuple[str, ...] = ()
    void: int | None = None
    ignore_index: int | None = None
    instance_classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the samples, sorted."""
        return tuple(row.name for row in self.rows)

    def read(self, index: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """An image (H, W, 3) in RGB and its mask (H, W) of ids, checked.

        All masks are uint8 where the classes and the ignored id are known and fit uint8, else int64.
        Raises DataError naming the file where it is unreadable, sizes differ, an id is unknown, or the mask is missing.
        """
        row = self.rows[index]
        if row.mask_place is None:
            raise DataError(f"{row.name}: has no mask")
        pixels = shown(row.image())
        ids = row.mask()
        check_size(ids.shape, row.mask_place, extent=pixels.shape[:2], whose=row.name)
        if ids.ndim != 2:
            raise DataError(f"{row.mask_place}: {ids.ndim} axes; a mask of class ids has two, height and width")
        ids = renamed(ids, self.void, self.ignore_index)
        check_ids(ids, row.mask_place, len(self.classes), self.ignore_index)
        return pixels, ids.astype(self._dtype)

    def digest(self, index: int) -> str:
        """SHA-256 over an image and its mask, hexadecimal. Raises DataError."""
        row = self.rows[index]
        parts = [row.image_digest(), *([] if row.mask_place is None else [row.mask_digest()])]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def fingerprint(self, *, track: Track = quiet) -> str:
        """SHA-256 over all names and digests, which identifies the data. Raises DataError."""
        total = hashlib.sha256()
        for index in track(range(len(self)), total=len(self), what="read images"):
            total.update(f"{self.rows[index].name}\0{self.digest(index)}\n".encode())
        return total.hexdigest()

    def take(self, indices: Iterable[int]) -> "Samples":
        """The samples at these indices, sorted by name as before."""
        return replace(self, rows=tuple(self.rows[index] for index in sorted(set(indices))))

    @property
    def _dtype(self) -> type[np.uint8] | type[np.int64]:
        fits = self.classes and max(len(self.classes) - 1, self.ignore_index or 0) <= 255
        return np.uint8 if fits else np.int64


def renamed(ids: NDArray[Any], void: int | None, ignore_index: int | None) -> NDArray[Any]:
    """The ids with `void` replaced by `ignore_index`; unchanged where either is None."""
    if void is None or ignore_index is None or void == ignore_index:
        return ids
    return np.where(ids == void, np.int64(ignore_index), ids.astype(np.int64))


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal. Raises DataError."""
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore it") from error
