"""Lists and indexes that come with a dataset, untrusted: their size is bounded, and file names stay in the folder."""

import re
from pathlib import Path, PurePosixPath
from typing import NoReturn

from quantseg.errors import DataError

_DRIVE = re.compile("[A-Za-z]:")
_MAX_PATH, _MAX_NAME = 1024, 255


def read_text(path: Path, *, max_bytes: int) -> str:
    """A UTF-8 file's text. Raises DataError naming it where it is unreadable, not text, or larger than `max_bytes`."""
    try:
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore it") from error
    if len(content) > max_bytes:
        raise DataError(f"{path}: is larger than {max_bytes >> 20} MiB; split it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 text; restore it") from error


def inside(name: str, *, listed_in: Path) -> PurePosixPath:
    """A file name from a list as a relative path that stays inside any folder it is joined to.

    Raises DataError for absolute names, "..", backslashes, drives, control characters, and names that are too long for
    file systems; the file system is not asked.
    """
    path = PurePosixPath(name)
    if not name or not name.isprintable() or path.is_absolute() or ".." in path.parts or not path.parts:
        _refuse(name, listed_in)
    if "\\" in name or _DRIVE.match(name):
        _refuse(name, listed_in)
    if len(name) > _MAX_PATH or any(len(part.encode()) > _MAX_NAME for part in path.parts):
        raise DataError(f"{listed_in}: names a file {name[:80]!r}…, longer than names can be; correct the list")
    return path


def _refuse(name: str, listed_in: Path) -> NoReturn:
    raise DataError(f"{listed_in}: names a file {name[:80]!r}, which may lie outside the folder; correct the list")
