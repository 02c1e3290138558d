"""What a layout is: a tree of folders that people keep labelled images in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from quantseg.data.samples import Samples
from quantseg.errors import DataError

Find = Callable[[Path, str | None, bool], Samples]
"""Folder, split, whether masks are wanted -> all samples of the split, sorted by name. Raises DataError.

The split is one of those that the layout lists, or None where it lists none. With masks wanted, a sample lacks
its mask only where all do: a image without a mask among others with theirs is an error.
"""


def nothing(place: Path) -> tuple[str, ...]:
    """The splits of a tree that has none."""
    return ()


def never(place: Path) -> bool:
    """Whether a folder is told by its tree, for a layout that is told otherwise."""
    return False


@dataclass(frozen=True)
class Layout:
    """One row of LAYOUTS.

    tree: what the folder holds, in one line. recognises: whether a folder is of this layout beyond doubt.
    splits: names of the splits in a folder, sorted; empty where the tree has none. splits_join: whether all
    splits together are what a folder means when none is chosen. find: None for model inputs that are no pictures.
    on_disk: whether the place is a folder at all; if not, `find` judges place and split by itself.
    """

    tree: str
    find: Find | None
    recognises: Callable[[Path], bool] = never
    splits: Callable[[Path], tuple[str, ...]] = nothing
    splits_join: bool = False
    on_disk: bool = True


def subfolders(folder: Path) -> tuple[str, ...]:
    """Names of the visible folders in a folder, sorted; none where it is no folder. Raises DataError."""
    if not folder.is_dir():
        return ()
    try:
        return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error


def not_of(layout: str, place: Path, tree: str) -> NoReturn:
    """Says that a folder is not of the layout that was asked for. Raises DataError."""
    raise DataError(f"{place}: is no {layout} folder; that holds {tree}")
