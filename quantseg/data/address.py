"""Where data is, in one word: FOLDER, or LAYOUT:FOLDER#SPLIT with either part left out.

One word, so that every parameter that takes a folder takes a layout and a split as well, each its own:
`data="camvid:roads#val", calib="camvid:roads#train"`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from quantseg.errors import DataError

_PREFIX = re.compile(r"([a-z][a-z0-9_]+):(.*)", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """A place, with the layout and the split if they are named."""

    place: Path
    layout: str | None = None
    split: str | None = None


def parse_address(
    text: str | Path, layouts: Collection[str], *, layout: str | None = None, split: str | None = None
) -> Address:
    """The address that a word means; a word that names an existing folder is that folder.

    layout, split: named beside the word, which then must not name another one.
    Raises DataError for a layout that does not exist, and for two that differ.
    """
    if layout is not None:
        _check_layout(layout, layouts, str(text))
    if _exists(Path(text)):
        return Address(Path(text), layout, split)
    rest, named = str(text), None
    if match := _PREFIX.fullmatch(rest):
        named, rest = match.groups()
        _check_layout(named, layouts, str(text))
    folder, mark, part = rest.rpartition("#")
    if not mark:
        folder, part = rest, ""
    if not folder or (mark and not part):
        raise DataError(f"{text}: names no {'split' if folder else 'folder'}; give [LAYOUT:]FOLDER[#SPLIT]")
    return Address(Path(folder), _one(layout, named, text), _one(split, part or None, text))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is longer than the file system takes
        return False


def _check_layout(name: str, layouts: Collection[str], text: str) -> None:
    if name not in layouts:
        raise DataError(f"{text}: no layout {name!r}; there are {', '.join(layouts)}")


def _one(beside: str | None, inside: str | None, text: str | Path) -> str | None:
    if None not in (beside, inside) and beside != inside:
        raise DataError(f"{text}: says {inside!r} where {beside!r} was asked for; give one of them")
    return beside if inside is None else inside
