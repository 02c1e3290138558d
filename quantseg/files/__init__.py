"""Files: written atomically (under a temporary name in the target's folder, then renamed), read only if they are files.

A path that a stranger chose may be a device, a named pipe or a socket: opening it may wait for ever, and renaming onto
it would replace it. Both are refused.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from quantseg.errors import OutputError
from quantseg.files import limits

_CHUNK = 1 << 20
_NOT_PLAIN = re.compile(r"[^\x00-\x7e]")
_PATIENCE = 0.5
"""Seconds that `abandon` waits for what must not be interrupted."""

uninterrupted = threading.RLock()
"""Held for what must not be ended halfway: a file takes its name, a process is started. `abandon` waits for it."""
_unfinished: dict[Path, list[Path]] = {}
"""Temporary paths, each with the folders that were made for it, the innermost first."""
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


class TooLargeError(OSError):
    """A file of more bytes than are read."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary path in the target's folder; renames it to `target` on success, removes it on failure.

    Missing parent folders are made. Raises OutputError where the file cannot be written, or `target` is anything but a
    file or a free name.
    """
    _check_free(target)
    with being_written(target) as temporary:
        yield temporary
        with uninterrupted:
            _check_free(target)
            temporary.replace(target)


def write_text(target: Path, text: str) -> None:
    """Writes UTF-8 text with \\n line ends, atomically."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(target: Path, content: bytes) -> None:
    """Writes bytes, atomically."""
    with replacing(target) as temporary:
        temporary.write_bytes(content)


def write_json(target: Path, value: Any) -> None:
    """Writes a value as JSON, atomically; the same value gives the same bytes. NaN and infinity are refused."""
    write_text(target, json_text(value, indent=1) + "\n")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON that keeps letters, and escapes what commands a terminal, turns the text or cannot be encoded.

    Raises ValueError for NaN and infinity.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return _NOT_PLAIN.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


def check_writable(target: Path, *, taken: Iterable[Path | None] = ()) -> None:
    """Raises OutputError where `target` cannot be written, so that work fails before it begins; leaves nothing behind.

    taken: other files that the work reads or writes, which `target` must not be.
    """
    _check_free(target)
    if os.path.realpath(target) in {os.path.realpath(path) for path in taken if path is not None}:
        raise OutputError(f"{target}: is another file of this command already; choose another name")
    with being_written(target) as temporary:
        temporary.touch()


def abandon() -> None:
    """Removes every file that is not complete, for a process that is about to end; no file is completed any more."""
    uninterrupted.acquire(timeout=_PATIENCE)
    for temporary, folders in list(_unfinished.items()):
        _remove(temporary, folders)


def discard(path: Path) -> None:
    """Removes a file if it is there. Raises OutputError where it cannot be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed ({error.strerror or error}); remove it") from error


def open_file(path: Path) -> BinaryIO:
    """Opens a file to read its bytes. Raises OSError, also for what is no file, which is never opened."""
    check_file(path)
    # Not waiting for the other end, in case a named pipe took the file's place meanwhile.
    stream = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)), "rb")
    try:
        _check_file(os.fstat(stream.fileno()))
    except OSError:
        stream.close()
        raise
    return stream


def read_bytes(path: Path, *, most: int) -> bytes:
    """The bytes of a file, at most `most`. Raises OSError, also for what is no file, and TooLargeError."""
    with open_file(path) as stream:
        if os.fstat(stream.fileno()).st_size > most:
            raise TooLargeError(0, f"more than {most:,} bytes")
        return stream.read(most)


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises OSError where it cannot be read, is larger than limits.JSON_BYTES, or no file.

    Raises ValueError where it is not JSON, or holds lists within lists without end or more than limits.JSON_LISTS.
    """
    text = read_bytes(path, most=limits.JSON_BYTES).decode("utf-8")
    if text.count("[") + text.count("{") > limits.JSON_LISTS:
        raise ValueError(f"more than {limits.JSON_LISTS:,} lists")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("lists within lists without end") from error


def check_file(path: Path) -> None:
    """Raises OSError where `path` is no file: missing, or a folder, device, named pipe or socket. Opens nothing."""
    try:
        _check_file(path.stat())
    except ValueError as error:  # a null character
        raise OSError(0, str(error)) from error


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in chunks. Raises OSError."""
    digest = hashlib.sha256()
    with open_file(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def kind_of(mode: int) -> str:
    """What st_mode says is there, in words: a folder, a symbolic link, a named pipe, a socket or a device."""
    return next((word for holds, word in _KINDS if holds(mode)), "a device")


def _check_file(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, f"{kind_of(found.st_mode)}, not a file")


def _check_free(target: Path) -> None:
    """Raises OutputError where `target` is there and is no file: it would be replaced by one."""
    try:
        mode = target.lstat().st_mode
    except OSError:  # not there, or beyond reach: the attempt to write says why
        return
    except ValueError as error:  # a null character
        raise OutputError(f"{target}: cannot be written ({error}); choose another name") from error
    if not stat.S_ISREG(mode):
        advice = "give a file name" if stat.S_ISDIR(mode) else "give the name of a file, or a new one"
        raise OutputError(f"{target}: is {kind_of(mode)}; {advice}")


@contextmanager
def being_written(target: Path) -> Iterator[Path]:
    """A temporary path in the target's folder; removed at the end, with folders that were made for it and stayed empty.

    Errors of the file system become OutputError.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    missing: list[Path] = []
    try:
        with uninterrupted:
            missing += [folder for folder in target.parents if not folder.exists()]
            _unfinished[temporary] = missing
        for folder in target.parents:
            if folder.exists() and not folder.is_dir():
                raise OutputError(f"{target}: {folder} is a file, not a folder; choose another place")
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        _remove(temporary, missing)
        _unfinished.pop(temporary, None)


def _remove(temporary: Path, folders: list[Path]) -> None:
    with suppress(OSError):  # the name may be too long for any file
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
    for remove in (temporary.unlink, *(folder.rmdir for folder in folders)):
        with suppress(OSError):  # already renamed, never created, or a folder that now contains the target
            remove()
