"""The interface of a dataset layout: a folder structure in which labelled images are kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from quantseg.data.place import Place
from quantseg.data.samples import Samples
from quantseg.errors import DataError

Find = Callable[[Place, str | None, bool], Samples]
"""(folder, split, whether masks are wanted) → all samples of the split, sorted by name. Raises DataError.

The split is one of those that the layout lists, or None where it lists none. With masks wanted, either all samples have
a mask or none: an image without a mask among images with masks is an error.
"""


def nothing(place: Place) -> tuple[str, ...]:
    """The splits of a layout that has none."""
    return ()


def never(place: Place) -> bool:
    """`recognises` of a layout that cannot be told from the folder's structure."""
    return False


@dataclass(frozen=True)
class Layout:
    """One row of LAYOUTS.

    tree: the folder structure in one line. find: None where the files are arrays instead of images. recognises: whether
    a folder certainly has this layout. splits: names of the splits in a folder, sorted; empty where the layout has
    none. splits_join: whether a folder without a chosen split means all splits together. on_disk: whether the address
    is a folder; if not, `find` checks address and split itself.
    """

    tree: str
    find: Find | None
    recognises: Callable[[Place], bool] = never
    splits: Callable[[Place], tuple[str, ...]] = nothing
    splits_join: bool = False
    on_disk: bool = True


def subfolders(folder: Place) -> tuple[str, ...]:
    """Names of the visible subfolders, sorted; none where `folder` is not a folder. Raises DataError."""
    if not folder.is_dir():
        return ()
    try:
        return tuple(sorted(p.name for p in folder.path.iterdir() if p.is_dir() and not p.name.startswith(".")))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error


def not_of(layout: str, place: Place, tree: str) -> NoReturn:
    """Raises DataError: the folder does not have the layout that was asked for."""
    raise DataError(f"{place}: is no {layout} folder; that holds {tree}")
