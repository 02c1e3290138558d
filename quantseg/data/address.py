"""Addresses of datasets: FOLDER, or LAYOUT:FOLDER#SPLIT with LAYOUT or #SPLIT left out.

One string holds all three, so that every parameter that takes a folder takes its own layout and split as well:
`data="camvid:roads#val", calib="camvid:roads#train"`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from quantseg.errors import DataError

_RENAMED = {"pictures": "images"}
"""Earlier name of a layout → its name."""
_PREFIX = re.compile(r"([a-z][a-z0-9_]+):(.*)", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """A dataset's path, with the layout and the split where they are named.

    place: what the layout reads as a path. follow_links: whether symbolic links may lead out of the folder.
    """

    place: Path
    layout: str | None = None
    split: str | None = None
    follow_links: bool = False


def parse_address(
    text: str | Path | Address, layouts: Collection[str], *, layout: str | None = None, split: str | None = None
) -> Address:
    """Parses an address; a text that is the path of an existing folder means that folder.

    text: also an Address whose place is still to be parsed. layout, split: given in parameters of their own; the text
    must not name others. Raises DataError for a layout that does not exist, and where text and parameters differ.
    """
    if isinstance(text, Address):
        inner = {"layout": _one(layout, text.layout, text.place), "split": _one(split, text.split, text.place)}
        return replace(parse_address(text.place, layouts, **inner), follow_links=text.follow_links)
    layout = None if layout is None else layout_name(layout)
    if layout is not None:
        _check_layout(layout, layouts, str(text))
    if _exists(Path(text)):
        return Address(Path(text), layout, split)
    rest, named = str(text), None
    if match := _PREFIX.fullmatch(rest):
        named, rest = layout_name(match[1]), match[2]
        _check_layout(named, layouts, str(text))
    folder, mark, part = rest.rpartition("#")
    if not mark:
        folder, part = rest, ""
    if not folder or (mark and not part):
        raise DataError(f"{text}: names no {'split' if folder else 'folder'}; give [LAYOUT:]FOLDER[#SPLIT]")
    return Address(Path(folder), _one(layout, named, text), _one(split, part or None, text))


def layout_name(name: str) -> str:
    """The name of a layout today, from that or an earlier one."""
    return _RENAMED.get(name, name)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long for the file system
        return False


def _check_layout(name: str, layouts: Collection[str], text: str) -> None:
    if name not in layouts:
        raise DataError(f"{text}: no layout {name!r}; there are {', '.join(layouts)}")


def _one(beside: str | None, inside: str | None, text: str | Path) -> str | None:
    if None not in (beside, inside) and beside != inside:
        raise DataError(f"{text}: says {inside!r} where {beside!r} was asked for; give one of them")
    return beside if inside is None else inside
