"""Atomic writing: every file is written under a temporary name in the target's folder, then renamed."""

import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from quantseg.errors import OutputError

_CHUNK = 1 << 20
_NOT_PLAIN = re.compile(r"[^\x00-\x7e]")
_PATIENCE = 0.5
"""Seconds that `abandon` waits for what must not be interrupted."""

uninterrupted = threading.RLock()
"""Held for what must not be ended halfway: a file takes its name, a process is started. `abandon` waits for it."""
_unfinished: dict[Path, list[Path]] = {}
"""Temporary paths, each with the folders that were made for it, the innermost first."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary path in the target's folder; renames it to `target` on success, removes it on failure.

    Missing parent folders are made. Raises OutputError where the file cannot be written.
    """
    with _beside(target) as temporary:
        yield temporary
        with uninterrupted:
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
    if target.resolve() in {path.resolve() for path in taken if path is not None}:
        raise OutputError(f"{target}: is another file of this command already; choose another name")
    with _beside(target) as temporary:
        temporary.touch()


def abandon() -> None:
    """Removes every file that is not complete, for a process that is about to end; no file is completed any more."""
    uninterrupted.acquire(timeout=_PATIENCE)
    for temporary, folders in list(_unfinished.items()):
        _remove(temporary, folders)


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
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
        if target.is_dir():
            raise OutputError(f"{target}: is a folder; give a file name")
        yield temporary
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        _remove(temporary, missing)
        _unfinished.pop(temporary, None)


def _remove(temporary: Path, folders: list[Path]) -> None:
    for remove in (temporary.unlink, *(folder.rmdir for folder in folders)):
        with suppress(OSError):  # already renamed, never created, or a folder that now contains the target
            remove()
