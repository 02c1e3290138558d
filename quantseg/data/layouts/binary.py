"""Layout `binary`: images with a mask of two values beside each, as in Kaggle's LGG brain MRI.

    case/NAME.tif   case/NAME_mask.tif          (any suffix of images, at any depth)

A mask holds 0 and 255, or 0 and 1: background and foreground.
"""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.folder import files_below
from quantseg.data.images import IMAGE_SUFFIXES
from quantseg.data.layouts.layout import Layout, not_of
from quantseg.data.masks import MASK_SUFFIXES
from quantseg.data.place import Place
from quantseg.data.samples import FileSample, Samples
from quantseg.errors import DataError

CLASSES = ("background", "foreground")
_MASK = "_mask"
_TREE = "NAME.tif beside NAME_mask.tif, in any folders and of any image suffix"


def find_binary(place: Place, split: str | None, masks: bool) -> Samples:
    """Every image that is not the mask of another. Raises DataError where one has no mask, or two."""
    files = _by_stem(place) if place.is_dir() else {}
    if not any(stem + _MASK in files for stem in files):
        not_of("binary", place, _TREE)
    rows = []
    for stem, same in files.items():
        if stem.endswith(_MASK) and stem.removesuffix(_MASK) in files:
            continue
        if len(same) > 1:
            raise DataError(f"{place / same[0]}: {same[1]} lies beside it; keep one")
        mask = _mask_of(place, same[0], files.get(stem + _MASK, [])) if masks else None
        rows.append(FileSample(same[0], place.path / same[0], mask, zero_one))
    return Samples(tuple(sorted(rows, key=lambda row: row.name)), CLASSES)


def zero_one(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Class ids 0 and 1 from a mask of 0 and 255, or of 0 and 1. Raises DataError naming the file."""
    if values.ndim == 2 and values.size and values.max() <= 1 and values.min() >= 0:
        return values
    odd = values[(values != 0) & (values != 255)]
    if odd.size:
        raise DataError(f"{path}: value {odd.max()} in a mask of two values; save it with 0 and 255 only")
    return np.asarray(values == 255, np.uint8)


def _mask_of(place: Place, name: str, masks: list[str]) -> Path:
    if len(masks) > 1:
        raise DataError(f"{place / name}: has two masks, {masks[0]} and {masks[1]}; keep one")
    if not masks:
        wanted = PurePosixPath(name).with_suffix("").as_posix() + _MASK + ".png"
        raise DataError(f"{place / name}: has no mask; put it at {place / wanted} or remove the image")
    mask = place.path / masks[0]
    if mask.suffix.lower() not in MASK_SUFFIXES:
        raise DataError(f"{mask}: a mask in a lossy format; save it as {mask.stem}.png")
    return mask


def _by_stem(place: Place) -> dict[str, list[str]]:
    """Posix path without suffix → the images of that stem."""
    files: dict[str, list[str]] = {}
    for name in files_below(place, IMAGE_SUFFIXES):
        files.setdefault(PurePosixPath(name).with_suffix("").as_posix(), []).append(name)
    return files


def _recognises(place: Place) -> bool:
    """Whether some image has its mask beside it."""
    stems = set(_by_stem(place))
    return any(stem + _MASK in stems for stem in stems)


BINARY = Layout(tree=_TREE, find=find_binary, recognises=_recognises)
