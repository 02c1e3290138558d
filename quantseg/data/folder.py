"""Which files of a folder are model inputs, in which order, and which mask belongs to each.

The mask of .../images/a/b.jpg is .../masks/a/b.png: the same relative path and stem in the sibling folder `masks`.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from quantseg.data.dataset import Item
from quantseg.data.masks import MASK_SUFFIXES
from quantseg.data.samples import digest_of_file
from quantseg.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True)
class Listing:
    """Files to load: `names` are posix paths under `root`; `masks` has a path for each name, or is None."""

    root: Path
    names: tuple[str, ...]
    masks: tuple[Path, ...] | None = None


@dataclass(frozen=True)
class FolderDataset:
    """A listing as a dataset. read: (name, file, mask file or None) → item; picklable."""

    listing: Listing
    read: Callable[[str, Path, Path | None], Item]

    @property
    def names(self) -> tuple[str, ...]:
        """Posix paths under the folder, sorted."""
        return self.listing.names

    def digest(self, index: int) -> str:
        """SHA-256 of the file's bytes. Raises DataError."""
        return digest_of_file(self._path(index))

    def load(self, index: int) -> Item:
        """Reads and prepares one item. Raises DataError that names the file."""
        mask = None if self.listing.masks is None else self.listing.masks[index]
        return self.read(self.names[index], self._path(index), mask)

    def _path(self, index: int) -> Path:
        return self.listing.root / self.names[index]


def list_folder(folder: Path) -> Listing:
    """Every visible file below `folder`, sorted by name, without folders of masks.

    Where there is a subfolder `images`, only its files are listed, and names are relative to it.
    Raises DataError where the folder is missing, cannot be read or is a file.
    """
    check_folder(folder)
    root = folder / "images" if (folder / "images").is_dir() else folder
    return Listing(root, files_below(root))


def check_folder(folder: Path) -> None:
    """Raises DataError where there is no such folder."""
    try:
        found = folder.exists()
    except OSError:  # a name that is too long for the file system
        found = False
    if not found:
        raise DataError(f"{folder}: no such folder; give a folder of images or .npy arrays")
    if not folder.is_dir():
        raise DataError(f"{folder}: a file, not a folder; give the folder that it lies in")


def files_below(root: Path, suffixes: frozenset[str] | None = None) -> tuple[str, ...]:
    """Visible files at any depth with these (lower-case) suffixes, sorted, as posix paths. Raises DataError."""
    return tuple(
        sorted(
            path.relative_to(root).as_posix()
            for path in _visible_files(root)
            if suffixes is None or path.suffix.lower() in suffixes
        )
    )


def choose(names: tuple[T, ...], limit: int | None) -> tuple[T, ...]:
    """At most `limit` of them, evenly spread. Raises DataError for a limit below 1."""
    if limit is None or limit >= len(names):
        return names
    if limit < 1:
        raise DataError(f"limit: {limit} images are none; give 1 or more")
    return tuple(names[index * len(names) // limit] for index in range(limit))


def pair_masks(listing: Listing) -> Listing:
    """The listing with the mask of each file; unchanged where no file has a folder of masks.

    Raises DataError for a file without a mask where another has a folder of masks, and for a file with two masks.
    """
    folders = [_mask_folder(listing.root, name) for name in listing.names]
    if not any(folders):
        return listing
    found = {folder[0]: _masks_by_stem(folder[0]) for folder in folders if folder}
    masks = []
    for name, folder in zip(listing.names, folders, strict=True):
        matches = found[folder[0]].get(folder[1], []) if folder else []
        place = f"{folder[0]}/{folder[1]}.png" if folder else "an images/ folder beside masks/"
        masks.append(_only(listing.root / name, matches, place))
    return Listing(listing.root, listing.names, tuple(masks))


def pair_by_stem(listing: Listing, folder: Path) -> Listing:
    """The listing with the mask of each file: the same relative path and stem under `folder`.

    Raises DataError for a file without a mask or with two.
    """
    found = _masks_by_stem(folder)
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in listing.names]
    masks = (
        _only(listing.root / name, found.get(stem, []), f"{folder / stem}.png")
        for name, stem in zip(listing.names, stems, strict=True)
    )
    return Listing(listing.root, listing.names, tuple(masks))


def _only(path: Path, masks: list[Path], place: str) -> Path:
    if not masks:
        raise DataError(f"{path}: has no mask; put it at {place} or remove the image")
    if len(masks) > 1:
        raise DataError(f"{path}: has two masks, {masks[0]} and {masks[1]}; keep one")
    return masks[0]


def _visible_files(root: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(root, onerror=_refuse):
        if "images" in subfolders and "masks" in subfolders:
            subfolders.remove("masks")
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(folder, name) for name in files if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions") from error


def _mask_folder(root: Path, name: str) -> tuple[Path, str] | None:
    """The folder of masks for a file, and the mask's path in it without suffix; None without such a folder."""
    path = (root / name).absolute()
    for ancestor in path.parents:
        if ancestor.name == "images" and (ancestor.parent / "masks").is_dir():
            return ancestor.parent / "masks", path.relative_to(ancestor).with_suffix("").as_posix()
        if ancestor == root.absolute():
            break
    return None


def _masks_by_stem(folder: Path) -> dict[str, list[Path]]:
    by_stem: dict[str, list[Path]] = {}
    for path in sorted(_visible_files(folder)):
        if path.suffix.lower() in MASK_SUFFIXES:
            by_stem.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return by_stem
