"""Masks: a class id per pixel, in a single-channel or palette image (a palette's index is the id) or .npy.

For an output head whose masks overlap, such as multilabel, ids become one plane per class, and an .npy mask
(classes, H, W) of zeros and ones may let classes overlap. A pixel of the ignored id then belongs to no class. For heads
of instances, whose classes have no background, id 0 is background and id 1 is class 0.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads import InstanceHead, head_of
from quantseg.data.images import read_ids
from quantseg.data.npy import read_npy
from quantseg.data.recipe import OutputRecipe
from quantseg.errors import DataError
from quantseg.files import limits

MASK_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".npy"})
"""Lossless formats only: JPEG would change ids at the borders of classes."""
_ID_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def read_mask(
    path: Path,
    recipe: OutputRecipe,
    *,
    extent: tuple[int, int],
    whose: str,
    size: tuple[int, int] | None = None,
) -> NDArray[np.int64]:
    """Ids (H, W), or planes (classes, H, W) where the head's masks overlap, resized to `size` if it is given.

    extent: the (height, width) that the mask must have. whose: the image of that size, for messages. recipe: completed.
    Raises DataError naming the file where it is unreadable, in colour, of another size or has an unknown id.
    """
    return fit_mask(read_values(path), str(path), recipe, extent=extent, whose=whose, size=size)


def read_values(path: Path) -> NDArray[Any]:
    """The integers in a mask's file. Raises DataError naming it where it is unreadable, in colour, or not integers."""
    values = read_npy(path, max_items=limits.IMAGE_PIXELS) if path.suffix.lower() == ".npy" else _read_image(path)
    if not (np.issubdtype(values.dtype, np.integer) or values.dtype == bool):
        raise DataError(f"{path}: {values.dtype} values; a mask holds class ids, save it as uint8")
    return values


def fit_mask(
    values: NDArray[Any],
    place: str,
    recipe: OutputRecipe,
    *,
    extent: tuple[int, int],
    whose: str,
    size: tuple[int, int] | None = None,
) -> NDArray[np.int64]:
    """As `read_mask`, from values already read. place: error messages begin with it."""
    check_size(values.shape, place, extent=extent, whose=whose)
    head, classes = head_of(recipe), len(recipe.classes)
    overlapping, first = head.overlapping, 1 if isinstance(head, InstanceHead) else 0
    if overlapping and values.ndim == 3:
        _check_planes(place, values, classes)
    elif values.ndim == 2:
        check_ids(values, place, classes + first if classes else 0, recipe.ignore_index)
    else:
        raise DataError(f"{place}: {values.ndim} axes; a mask of class ids has two, height and width")
    if size is not None:
        values = resize_nearest(values, size)
    if overlapping and values.ndim == 2:
        values = values == np.arange(first, first + classes)[:, None, None]
    return values.astype(np.int64)


def check_size(shape: tuple[int, ...], place: str, *, extent: tuple[int, ...], whose: str) -> None:
    """Raises DataError where a mask of this shape does not have the height and width of its image."""
    if shape[-2:] != extent:
        found, wanted = ("x".join(map(str, sizes)) or "one value" for sizes in (shape[-2:], extent))
        raise DataError(f"{place}: mask of {found} for {whose} of {wanted}; make them the same size")


def check_ids(values: NDArray[Any], place: str, classes: int, ignore_index: int | None) -> None:
    """Raises DataError for an id that is neither a class nor ignored.

    classes: 0 where their number is unknown; then only negative ids are wrong.
    """
    unknown = (values < 0) | ((values >= classes) if classes else False)
    if ignore_index is not None:
        unknown &= values != ignore_index
    if unknown.any():
        range_ = f"0…{classes - 1}" if classes else "from 0"
        raise DataError(
            f"{place}: class id {values[unknown].min()} is not in {range_}; "
            "correct the mask, or the names of the classes or the ignored id (classes=…, ignore_index=…)"
        )


def resize_nearest(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """A mask (…, H, W) at (height, width): each new pixel takes the id under its centre."""
    rows, columns = (
        (2 * np.arange(wanted) + 1) * found // (2 * wanted) for wanted, found in zip(size, mask.shape[-2:], strict=True)
    )
    return mask[..., rows[:, None], columns]


def _read_image(path: Path) -> NDArray[Any]:
    image = read_ids(path)
    if image.mode not in _ID_MODES:
        raise DataError(f"{path}: a colour image (mode {image.mode}), not class ids; save one channel or a palette")
    return np.asarray(image)


def _check_planes(place: str, values: NDArray[Any], classes: int) -> None:
    if len(values) != classes:
        raise DataError(f"{place}: {len(values)} planes for {classes} classes; save one plane per class")
    if values.min(initial=0) < 0 or values.max(initial=0) > 1:
        raise DataError(f"{place}: planes hold more than zeros and ones; save them as bool")
