"""Labelled instances from what files hold: a map with an id for each instance, or one region after another.

They are resized one by one, as masks are, so that memory is taken for the wanted size alone. What then covers no pixel
is left out.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.instances import Instances
from quantseg.data.masks import resize_nearest
from quantseg.data.recipe import OutputRecipe
from quantseg.errors import DataError
from quantseg.files import limits

Ids = NDArray[Any]


def of_ids(ids: Ids, semantic: Ids | None, *, size: tuple[int, int], place: str, void: int | None = None) -> Instances:
    """An instance for each id but 0 and `void`, by rising id. place: error messages begin with it.

    ids: (H, W), of any integers from 0. semantic: class ids (H, W), of which 0 and `void` are no class; an instance has
    the class of most of its pixels, less one, so that class id 1 is class 0. None: all are of class 0.
    Raises DataError for a negative id, an instance without a class, and more instances than memory should hold.
    """
    check_axes(ids, place)
    known, index = np.unique(ids, return_inverse=True)
    if known.size and known[0] < 0:
        raise DataError(f"{place}: instance id {known[0]} is negative; number instances from 1, 0 is background")
    chosen = np.flatnonzero((known != 0) & (known != (0 if void is None else void)))
    _check_count(len(chosen), size, place)
    index = index.reshape(ids.shape)
    classes = np.zeros(len(chosen), np.int64)
    if semantic is not None:
        found = _classes(index, semantic, void)
        without = next((number for number in chosen.tolist() if number not in found), None)
        if without is not None:
            raise DataError(
                f"{place}: instance {known[without]} covers no class of the class mask; correct one of them"
            )
        classes = np.array([found[number] - 1 for number in chosen.tolist()], np.int64)
    return _seen(Instances.of(resize_nearest(index, size) == chosen[:, None, None], classes))


def of_regions(
    regions: Iterable[NDArray[np.bool_]],
    classes: Sequence[int],
    crowds: Sequence[bool],
    *,
    size: tuple[int, int],
    place: str,
) -> Instances:
    """An instance for each region (H, W), which may overlap. Raises DataError for more than memory should hold."""
    _check_count(len(classes), size, place)
    masks = np.zeros((len(classes), *size), np.bool_)
    for mask, region in zip(masks, regions, strict=True):
        mask[:] = resize_nearest(region, size)
    count = len(classes)
    scores = np.ones(count, np.float32)
    return _seen(Instances(masks, np.array(classes, np.int64), scores, np.array(crowds, np.bool_).reshape(count)))


def numbered(found: Instances, own: tuple[str, ...], recipe: OutputRecipe, place: str) -> Instances:
    """The instances with the numbers that the recipe gives to their classes.

    own: names of the layout's classes. Where the recipe has a class of each name, names decide, else the numbers stand.
    Raises DataError for a number that is no class of the recipe.
    """
    named = recipe.classes
    order = np.array([named.index(name) for name in own], np.int64) if own and set(own) <= set(named) else None
    classes = found.classes if order is None else order[found.classes]
    if classes.size and int(classes.max()) >= len(named):
        worst = int(classes.max())
        called = f" ({own[worst]!r})" if order is None and worst < len(own) else ""
        raise DataError(
            f"{place}: an instance of class {worst}{called}, and the model has {len(named)} classes of instances; "
            "give their names in its order (classes=…)"
        )
    return Instances(found.masks, classes, found.scores, found.crowd)


def check_axes(ids: Ids, place: str) -> None:
    """Raises DataError for anything but two axes."""
    if ids.ndim != 2:
        raise DataError(f"{place}: {ids.ndim} axes; a map of instance ids has two, height and width")


def _classes(index: Ids, semantic: Ids, void: int | None) -> dict[int, int]:
    """Index of an id → the class id of most of its pixels; of equally many the lowest."""
    labels, semantic_index = np.unique(semantic, return_inverse=True)
    counted = (semantic != 0) & (semantic != (0 if void is None else void))
    pairs, counts = np.unique(
        index[counted] * np.int64(len(labels)) + semantic_index.reshape(semantic.shape)[counted], return_counts=True
    )
    owner, label = np.divmod(pairs, np.int64(len(labels)))
    found: dict[int, int] = {}
    for number in np.lexsort((label, -counts, owner)).tolist():
        found.setdefault(int(owner[number]), int(labels[label[number]]))
    return found


def _check_count(count: int, size: tuple[int, int], place: str) -> None:
    if count * prod(size) > limits.INSTANCE_PIXELS:
        raise DataError(
            f"{place}: {count:,} instances at {size[0]}x{size[1]} have more than {limits.INSTANCE_PIXELS:,} pixels; "
            "cut the image, or correct the ids"
        )


def _seen(found: Instances) -> Instances:
    seen = np.asarray(found.masks.any(axis=(1, 2)))
    return found if seen.all() else found.chosen(seen)
