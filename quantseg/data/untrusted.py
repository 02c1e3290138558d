"""Lists and indexes that come with a dataset, untrusted: their size is bounded, and file names stay in the folder."""

import re
from pathlib import PurePosixPath
from typing import NoReturn

from quantseg.data.place import Place
from quantseg.errors import DataError
from quantseg.files import TooLargeError, limits, read_bytes

_DRIVE = re.compile("[A-Za-z]:")


def read_text(place: Place, *, most: int) -> str:
    """A UTF-8 file's text, at most `most` bytes.

    Raises DataError naming it where it is unreadable, not text, larger, or outside the data folder by a link.
    """
    place.check()
    try:
        return read_bytes(place.path, most=most).decode("utf-8-sig")
    except TooLargeError as error:
        raise DataError(f"{place}: is larger than {most >> 20} MiB; split it") from error
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror or error}); restore it") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: is no UTF-8 text; restore it") from error


def inside(name: str, *, listed_in: Place) -> PurePosixPath:
    """A file name from a list as a relative path that stays inside any folder it is joined to.

    Raises DataError for absolute names, "..", backslashes, drives, control characters, and names that are too long for
    file systems; the file system is not asked.
    """
    path = PurePosixPath(name)
    if not name or not name.isprintable() or path.is_absolute() or ".." in path.parts or not path.parts:
        _refuse(name, listed_in)
    if "\\" in name or _DRIVE.match(name):
        _refuse(name, listed_in)
    if len(name) > limits.PATH_LENGTH or any(len(part.encode()) > limits.NAME_LENGTH for part in path.parts):
        raise DataError(f"{listed_in}: names a file {name[:80]!r}…, longer than names can be; correct the list")
    return path


def _refuse(name: str, listed_in: Place) -> NoReturn:
    raise DataError(f"{listed_in}: names a file {name[:80]!r}, which may lie outside the folder; correct the list")
