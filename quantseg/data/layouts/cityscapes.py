"""Layout `cityscapes`: street scenes with nineteen classes (Cordts et al., CVPR 2016, arXiv:1604.01685).

    leftImg8bit/SPLIT/CITY/X_leftImg8bit.png   gtFine/SPLIT/CITY/X_gtFine_labelIds.png

Masks hold labelIds; the classes that are trained and evaluated are the trainIds, all other labels are ignored.
Source: cityscapesScripts, helpers/labels.py.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.folder import files_below
from quantseg.data.layouts.layout import Layout, not_of, subfolders
from quantseg.data.place import Place
from quantseg.data.samples import FileSample, Samples
from quantseg.errors import DataError

_TRAINED = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car",
    27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
"""labelId → class, in the order of the trainIds."""
CLASSES = tuple(_TRAINED.values())
IGNORED = 255
_LABELS = 34
_TRAIN_ID = np.full(_LABELS, IGNORED, np.uint8)
_TRAIN_ID[list(_TRAINED)] = range(len(_TRAINED))
_TREE = "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_labelIds.png"
_IMAGE, _MASK = "_leftImg8bit.png", "_gtFine_labelIds.png"


def find_cityscapes(place: Place, split: str | None, masks: bool) -> Samples:
    """The images of all cities of one split."""
    if split is None:
        not_of("cityscapes", place, _TREE)
    images, labels = place / "leftImg8bit" / split, place / "gtFine" / split
    names = [name for name in files_below(images, frozenset({".png"})) if name.endswith(_IMAGE)]
    if not names:
        raise DataError(f"{images}: no *{_IMAGE} in it; restore them")
    labelled = masks and labels.is_dir()
    rows = tuple(_row(images, labels if labelled else None, name) for name in names)
    return Samples(rows, CLASSES, void=IGNORED, ignore_index=IGNORED)


def train_ids(label_ids: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """The trainId of every labelId. Raises DataError, naming `path`, for a labelId that does not exist."""
    if label_ids.size and not 0 <= int(label_ids.min()) <= int(label_ids.max()) < _LABELS:
        unknown = int(label_ids.max() if label_ids.max() >= _LABELS else label_ids.min())
        raise DataError(f"{path}: label id {unknown} is not in 0…{_LABELS - 1}; give the *{_MASK} of Cityscapes")
    return _TRAIN_ID[label_ids.astype(np.int64)]


def _row(images: Place, labels: Place | None, name: str) -> FileSample:
    if labels is None:
        return FileSample(name, images.path / name)
    mask = labels / (name.removesuffix(_IMAGE) + _MASK)
    if not mask.is_file():
        raise DataError(f"{images / name}: has no mask; put it at {mask} or remove the image")
    return FileSample(name, images.path / name, mask.path, train_ids)


CITYSCAPES = Layout(
    tree=_TREE,
    find=find_cityscapes,
    recognises=lambda place: bool(subfolders(place / "leftImg8bit")),
    splits=lambda place: subfolders(place / "leftImg8bit"),
)
