"""What a word that names data stands for, as one digest: so that a command knows whether it was given the same."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from quantseg.data import LAYOUTS
from quantseg.data.address import parse_address
from quantseg.data.images import IMAGE_SUFFIXES
from quantseg.data.layouts.arrays import ARRAY_SUFFIXES
from quantseg.errors import DataError

_SUFFIXES = IMAGE_SUFFIXES | ARRAY_SUFFIXES


def listing_digest(word: Path) -> str:
    """SHA-256 over layout, split, and the names and sizes of the images and arrays below the folder, not its own name.

    Nothing is opened, and no link to a folder followed. What is no folder is named by the word itself.
    """
    total = hashlib.sha256()
    try:
        address = parse_address(word, LAYOUTS)
    except DataError:
        return hashlib.sha256(os.fsencode(word)).hexdigest()
    total.update(f"{address.layout} {address.split}\n".encode())
    if not address.place.is_dir():
        total.update(os.fsencode(address.place))
    for folder, inner, names in os.walk(address.place):
        inner.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix.lower() in _SUFFIXES:
                with suppress(OSError):
                    relative = path.relative_to(address.place).as_posix()
                    total.update(f"{path.lstat().st_size} ".encode() + os.fsencode(relative) + b"\n")
    return total.hexdigest()
