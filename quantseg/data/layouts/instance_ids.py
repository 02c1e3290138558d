"""Samples whose instances are in a file of ids, one id an instance: `instances/` beside images/, and Pascal VOC.

Id 0 is background. The ids may be of any number: a PNG holds them up to 255 or 65,535, an .npy file or a 32-bit TIFF
beyond. A class mask gives each instance the class of most of its pixels; without one all are of one class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantseg.data.instance_labels import check_axes, of_ids
from quantseg.data.instances import Instances
from quantseg.data.masks import MASK_SUFFIXES, check_size, read_values
from quantseg.data.place import Place
from quantseg.data.samples import FileSample, digest_of_file
from quantseg.errors import DataError

FOLDER = "instances"
BACKGROUND, OBJECT = "background", "object"
"""The classes where there is no class mask."""


@dataclass(frozen=True)
class IdSample:
    """An image file with a file of instance ids.

    file: the image, and its class mask where there is one. ids: the file of ids, or its path without the suffix, which
    is looked for when ids are asked for. found: which of both. void: the id in both files that belongs to no instance.
    """

    file: FileSample
    ids: Place
    found: bool
    void: int | None = None

    @property
    def name(self) -> str:
        """The image's name."""
        return self.file.name

    @property
    def mask_place(self) -> str | None:
        """The class mask's file, else the file of ids."""
        return str(self.ids) if self.file.mask_path is None else self.file.mask_place

    def image(self) -> Image.Image:
        """The image of the file. Raises DataError naming the file."""
        return self.file.image()

    def mask(self) -> NDArray[Any]:
        """The class ids of the class mask, else 1 for every instance. Raises DataError naming the file."""
        if self.file.mask_path is not None:
            return self.file.mask()
        return np.asarray(_read(self._ids()) != 0, np.uint8)

    def instances(self, extent: tuple[int, int], size: tuple[int, int]) -> Instances:
        """See InstanceSample."""
        path = self._ids()
        ids, semantic = _read(path), None
        check_size(ids.shape, str(path), extent=extent, whose=self.name)
        if self.file.mask_path is not None:
            semantic = self.file.mask()
            check_axes(semantic, str(self.file.mask_path))
            check_size(semantic.shape, str(self.file.mask_path), extent=extent, whose=self.name)
        return of_ids(ids, semantic, size=size, place=str(path), void=self.void)

    def image_digest(self) -> str:
        """SHA-256 of the image file's bytes. Raises DataError."""
        return self.file.image_digest()

    def mask_digest(self) -> str:
        """SHA-256 of the bytes that `mask` reads. Raises DataError."""
        return digest_of_file(self._ids()) if self.file.mask_path is None else self.file.mask_digest()

    def _ids(self) -> Path:
        if self.found:
            return self.ids.path
        same = (self.ids.beside(self.ids.path.name + suffix) for suffix in sorted(MASK_SUFFIXES))
        files = [place.path for place in same if place.is_file()]
        if not files:
            wanted = f"{self.ids}.png"
            raise DataError(f"{self.file.path}: has no instance ids; put them at {wanted}, all 0 where there are none")
        if len(files) > 1:
            raise DataError(f"{files[0]}: {files[1].name} lies beside it; keep one")
        return files[0]


def rows_with_ids(rows: Sequence[FileSample], folder: Place, void: int | None = None) -> tuple[IdSample, ...]:
    """Samples with the ids of the same relative path and stem in a folder, which are looked for when asked for."""
    stems = (PurePosixPath(row.name).with_suffix("") for row in rows)
    return tuple(IdSample(row, folder / stem, False, void) for row, stem in zip(rows, stems, strict=True))


def _read(path: Path) -> NDArray[Any]:
    ids = read_values(path)
    check_axes(ids, str(path))
    return ids
