"""Which files of a folder are model inputs, in which order, and which mask belongs to each.

The mask of .../images/a/b.jpg is .../masks/a/b.png: the same relative path and stem in the sibling folder `masks`.
Ids of instances lie likewise in `instances`.
Links to folders are followed, where `Place` allows it, but no folder is listed twice, so links in a circle end.
"""

import heapq
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from quantseg.data.dataset import Item
from quantseg.data.masks import MASK_SUFFIXES
from quantseg.data.place import Place
from quantseg.data.samples import digest_of_file
from quantseg.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True)
class Listing:
    """Files to load: `names` are posix paths under `root`; `masks` has a path for each name, or is None."""

    root: Place
    names: tuple[str, ...]
    masks: tuple[Path, ...] | None = None

    def path(self, index: int) -> Path:
        """The path of a file."""
        return self.root.path / self.names[index]


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
        return digest_of_file(self.listing.path(index))

    def load(self, index: int) -> Item:
        """Reads and prepares one item. Raises DataError that names the file."""
        mask = None if self.listing.masks is None else self.listing.masks[index]
        return self.read(self.names[index], self.listing.path(index), mask)


def list_folder(folder: Place) -> Listing:
    """Every visible file below `folder`, sorted by name, without folders of masks.

    Where there is a subfolder `images`, only its files are listed, and names are relative to it.
    Raises DataError where the folder is missing, cannot be read or is a file.
    """
    check_folder(folder.path)
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


def files_below(root: Place, suffixes: frozenset[str] | None = None) -> tuple[str, ...]:
    """Visible files at any depth with these (lower-case) suffixes, sorted, as posix paths; None: of any suffix.

    Raises DataError for one of these suffixes that is a device, pipe or socket, lies outside the data folder by a link,
    or has a name that is not UTF-8.
    """
    names = sorted(path.relative_to(root.path).as_posix() for path in _visible_files(root, suffixes))
    for name in names if suffixes is not None else ():
        if not _is_text(name):
            raise DataError(f"{root}: the file name {name!r} is not UTF-8; rename the file")
    return tuple(names)


def choose(names: tuple[T, ...], limit: int | None) -> tuple[T, ...]:
    """At most `limit` of them, evenly spread. Raises DataError for a limit below 1."""
    if limit is None or limit >= len(names):
        return names
    if limit < 1:
        raise DataError(f"limit: {limit} images are none; give 1 or more")
    return tuple(names[index * len(names) // limit] for index in range(limit))


def pair_masks(listing: Listing, beside: str = "masks") -> Listing:
    """The listing with the mask of each file; unchanged where no file has a folder of masks. beside: its name.

    Raises DataError for a file without a mask where another has a folder of masks, and for a file with two masks.
    """
    parents = dict.fromkeys(PurePosixPath(name).parent for name in listing.names)
    folders = {parent: mask_folder(listing.root, parent, beside) for parent in parents}
    if not any(folders.values()):
        return listing
    found = {folder: _masks_by_stem(folder) for folder in {pair[1] for pair in folders.values() if pair}}
    masks = []
    for name in listing.names:
        path, pair = listing.root.path / name, folders[PurePosixPath(name).parent]
        stem = path.absolute().relative_to(pair[0]).with_suffix("").as_posix() if pair else ""
        place = f"{pair[1]}/{stem}.png" if pair else f"an images/ folder beside {beside}/"
        masks.append(_only(path, found[pair[1]].get(stem, []) if pair else [], place))
    return Listing(listing.root, listing.names, tuple(masks))


def pair_by_stem(listing: Listing, folder: Place) -> Listing:
    """The listing with the mask of each file: the same relative path and stem under `folder`.

    Raises DataError for a file without a mask or with two.
    """
    found = _masks_by_stem(folder)
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in listing.names]
    masks = (
        _only(listing.root.path / name, found.get(stem, []), f"{folder / stem}.png")
        for name, stem in zip(listing.names, stems, strict=True)
    )
    return Listing(listing.root, listing.names, tuple(masks))


def _only(path: Path, masks: list[Path], place: str) -> Path:
    if not masks:
        raise DataError(f"{path}: has no mask; put it at {place} or remove the image")
    if len(masks) > 1:
        raise DataError(f"{path}: has two masks, {masks[0]} and {masks[1]}; keep one")
    return masks[0]


def _visible_files(root: Place, suffixes: frozenset[str] | None) -> Iterator[Path]:
    """The files of these suffixes; folders that links lead to come last, each but once."""
    root.check()
    folders, links, seen = [root.path], list[Path](), set[tuple[int, int]]()
    while folders or links:
        folder = folders.pop() if folders else heapq.heappop(links)
        if (identity := _identity(folder)) in seen:
            continue
        seen.add(identity)
        entries = _entries(folder)
        below = {entry.name for entry in entries if _is_dir(entry)}
        for entry in entries:
            path = folder / entry.name
            if entry.name in below:
                if entry.name in ("masks", "instances") and "images" in below:
                    continue
                if entry.is_symlink():
                    replace(root, path=path).check()
                    heapq.heappush(links, path)
                else:
                    folders.append(path)
            elif suffixes is None or path.suffix.lower() in suffixes:
                if suffixes is not None and not entry.is_file(follow_symlinks=False):
                    replace(root, path=path).require_file()
                yield path


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = folder.stat()
    except OSError as error:
        raise _unlisted(folder, error) from error
    return found.st_dev, found.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What the folder holds, without hidden entries."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise _unlisted(folder, error) from error


def _unlisted(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder}: cannot be listed ({error.strerror or error}); check its permissions")


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that the system could not decode
        return False
    return True


def mask_folder(root: Place, parent: PurePosixPath, beside: str = "masks") -> tuple[Path, Place] | None:
    """For files in `parent`: the folder named images above them, and that of masks beside it; None without one."""
    path = (root.path / parent).absolute()
    for ancestor in (path, *path.parents):
        masks = replace(root, path=ancestor.parent / beside)
        if ancestor.name == "images" and masks.is_dir():
            return ancestor, masks
        if ancestor == root.path.absolute():
            break
    return None


def _masks_by_stem(folder: Place) -> dict[str, list[Path]]:
    by_stem: dict[str, list[Path]] = {}
    for path in sorted(_visible_files(folder, MASK_SUFFIXES)):
        by_stem.setdefault(path.relative_to(folder.path).with_suffix("").as_posix(), []).append(path)
    return by_stem
