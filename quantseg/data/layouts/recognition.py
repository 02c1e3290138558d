"""Which layout a folder has and which split is meant: named by the user, or recognised from the folder's structure."""

import logging
from collections.abc import Mapping
from pathlib import PurePosixPath

from quantseg.data.address import Address
from quantseg.data.folder import check_folder, list_folder
from quantseg.data.images import IMAGE_SUFFIXES
from quantseg.data.layouts.arrays import ARRAY_SUFFIXES
from quantseg.data.layouts.layout import Layout
from quantseg.data.place import Place
from quantseg.errors import DataError

log = logging.getLogger(__name__)

_SUFFIXES = {"images": IMAGE_SUFFIXES, "arrays": ARRAY_SUFFIXES}
"""File suffixes of the layouts that are any folder of such files."""


def locate(address: Address, layouts: Mapping[str, Layout]) -> tuple[str, Place, str | None]:
    """The layout's name, the data folder, and the split; None where the layout has none, or reads all together.

    Raises DataError where no layout or several fit the folder, or where a split must be chosen, and for a link that
    leads out of the folder.
    """
    place = Place.of(address.place, follow_links=address.follow_links)
    name = address.layout or _recognised(place, layouts)
    if not layouts[name].on_disk:
        return name, place, address.split
    check_folder(address.place)
    split = _split(place, address.split, name, layouts[name])
    if address.layout is None and name not in _SUFFIXES:
        log.info("%s: read as %s%s", address.place, name, f", split {split}" if split else "")
    return name, place, split


def _recognised(place: Place, layouts: Mapping[str, Layout]) -> str:
    listing = list_folder(place)
    told = [name for name, layout in layouts.items() if layout.recognises(place)]
    if len(told) > 1:
        remedy = " or ".join(f"{name}:{place}" for name in told)
        raise DataError(f"{place}: looks like {' and like '.join(told)}; say which, {remedy}")
    if told and told[0] not in _SUFFIXES:
        return told[0]
    by_kind = {
        kind: names[0]
        for kind, suffixes in _SUFFIXES.items()
        if (names := [name for name in listing.names if PurePosixPath(name).suffix.lower() in suffixes])
    }
    if not by_kind:
        suffixes = sorted(suffix for kind in _SUFFIXES.values() for suffix in kind)
        raise DataError(f"{place}: no images or arrays in it; put in files of {' '.join(suffixes)}")
    if len(by_kind) > 1:
        examples = " and ".join(f"{name} ({kind})" for kind, name in by_kind.items())
        raise DataError(f"{place}: mixes {examples}; keep one kind in a folder")
    return next(iter(by_kind))


def _split(place: Place, chosen: str | None, name: str, layout: Layout) -> str | None:
    """The split to read. Raises DataError where there is none of that name, or several and none is chosen."""
    splits = layout.splits(place)
    listed = ", ".join(splits)
    if chosen is not None and chosen not in splits:
        raise DataError(f"{place}: has no split {chosen!r}; it holds {listed or 'none'}")
    if chosen is not None or not splits:
        return chosen
    if len(splits) == 1:
        return None if layout.splits_join else splits[0]
    if not layout.splits_join:
        raise DataError(f"{place}: holds the splits {listed}; choose one, {name}:{place}#{splits[0]}")
    log.info("%s: the splits %s together; %s#%s is one of them", place, listed, place, splits[0])
    return None
