"""Layout `coco`: instance annotations in JSON become class masks (Lin et al., ECCV 2014, arXiv:1405.0312).

    annotations/instances_SPLIT.json   and the images in SPLIT/, images/SPLIT/, images/ or the folder itself

Categories are class 1, 2, … in the order of their ids; class 0 is background. Where instances overlap, the one with
fewer pixels is on top; pixels of a crowd are ignored where no instance covers them. Heads of instances are given the
instances themselves, categories from class 0, and crowds as such.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantseg.data.images import read_image
from quantseg.data.instances import Instances
from quantseg.data.layouts.coco_index import CocoImage, Index, read_index
from quantseg.data.layouts.coco_masks import check_installed, objects, paint
from quantseg.data.layouts.layout import Layout, not_of
from quantseg.data.masks import check_size
from quantseg.data.place import Place
from quantseg.data.samples import Samples, digest_of_file
from quantseg.data.untrusted import inside
from quantseg.errors import DataError

BACKGROUND = "background"
_PREFIX, _SUFFIX = "instances_", ".json"
_TREE = "annotations/instances_SPLIT.json and the images in SPLIT/ or images/"


@dataclass(frozen=True)
class CocoSample:
    """An image file and its entry in the annotation file.

    index: the annotation file. row: the entry. void: the id of ignored pixels. masked: whether masks are wanted.
    """

    path: Path
    index: Path
    row: CocoImage
    void: int
    masked: bool

    @property
    def name(self) -> str:
        """The file name in the annotation file."""
        return self.row.file_name

    @property
    def mask_place(self) -> str | None:
        """The annotation file and the image's name; None where masks are not wanted."""
        return f"{self.index}, {self.name}" if self.masked else None

    def image(self) -> Image.Image:
        """The image of the file. Raises DataError naming the file."""
        return read_image(self.path)

    def mask(self) -> NDArray[Any]:
        """Class ids, background included. Raises DataError."""
        return paint(self.row, self.void, place=f"{self.index}, {self.name}")

    def instances(self, extent: tuple[int, int], size: tuple[int, int]) -> Instances:
        """See InstanceSample."""
        place = f"{self.index}, {self.name}"
        check_size((self.row.height, self.row.width), place, extent=extent, whose=self.name)
        return objects(self.row, size, place=place)

    def image_digest(self) -> str:
        """SHA-256 of the file's bytes. Raises DataError."""
        return digest_of_file(self.path)

    def mask_digest(self) -> str:
        """SHA-256 of the annotations."""
        text = "\n".join((f"{self.row.height}x{self.row.width}", *self.row.annotations))
        return hashlib.sha256(text.encode()).hexdigest()


def find_coco(place: Place, split: str | None, masks: bool) -> Samples:
    """Every image of a split's annotation file. Raises DataError where an image or pycocotools is missing."""
    if split is None:
        not_of("coco", place, _TREE)
    if masks:
        check_installed()
    source = place / "annotations" / f"{_PREFIX}{split}{_SUFFIX}"
    index = read_index(source, annotations=masks)
    classes = _classes(index, source)
    # An id above all class ids: 255, as in other datasets, where that is.
    void = 255 if len(classes) <= 255 else int(np.iinfo(np.uint16).max)
    folder = _folder(place, split, index.images[0], source)
    rows = []
    for image in index.images:
        name = inside(image.file_name, listed_in=source)
        if not folder.holds(name):
            raise DataError(f"{source}: lists {image.file_name!r}, and {folder / name} is not there; restore it")
        rows.append(CocoSample(folder.path / name, source.path, image, void, masks))
    return Samples(tuple(rows), classes, void=void, ignore_index=void, instance_classes=classes[1:])


def _classes(index: Index, source: Place) -> tuple[str, ...]:
    classes = (BACKGROUND, *index.categories)
    if len(set(classes)) < len(classes):
        raise DataError(f"{source}: two categories have one name, or one is called {BACKGROUND!r}; rename one")
    return classes


def _folder(place: Place, split: str, first: CocoImage, source: Place) -> Place:
    """The folder of the images: the first of the usual ones that contains the first image."""
    name = inside(first.file_name, listed_in=source)
    folders = (place / split, place / "images" / split, place / "images", place)
    for folder in folders:
        if (folder / name).is_file():
            return folder
    raise DataError(f"{source}: lists {first.file_name!r}, which is not in {split}/, images/{split}/ or images/")


def _splits(place: Place) -> tuple[str, ...]:
    found = (place / "annotations").path.glob(f"{_PREFIX}?*{_SUFFIX}")
    return tuple(sorted(path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX) for path in found))


COCO = Layout(tree=_TREE, find=find_coco, recognises=lambda place: bool(_splits(place)), splits=_splits)
