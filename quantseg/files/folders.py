"""Folders, written whole: put together under a temporary name beside the target, then renamed."""

import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from quantseg.errors import OutputError
from quantseg.files import being_written, kind_of, uninterrupted


@contextmanager
def replacing_folder(target: Path, ours: Collection[str] = ()) -> Iterator[Path]:
    """Yields an empty temporary folder beside `target`, which takes its name on success and is removed on failure.

    ours: paths in an older folder of that name that go with it; its other files that the new one lacks are moved into
    the new one. Raises OutputError where `target` is no folder, or cannot be written.
    """
    _check(target)
    with being_written(target) as temporary:
        temporary.mkdir()
        yield temporary
        with uninterrupted:
            _check(target)
            _swap(temporary, target, ours)


def check_folder_writable(target: Path) -> None:
    """Raises OutputError where the folder cannot be written, so that work fails before it begins; leaves nothing."""
    _check(target)
    with being_written(target) as temporary:
        temporary.mkdir()


def files_in(folder: Path) -> tuple[str, ...]:
    """The paths of all but folders in a folder, relative to it, with forward slashes, sorted. Follows no links."""
    found = []
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in (*names, *links)]
    return tuple(sorted(found))


def _check(target: Path) -> None:
    if not target.name:
        raise OutputError(f"{target}: name a folder of its own, which need not be there")
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise OutputError(f"{target}: cannot be written ({error}); choose another name") from error
    if not stat.S_ISDIR(mode):
        kind = "a file" if stat.S_ISREG(mode) else kind_of(mode)
        raise OutputError(f"{target}: is {kind}, not a folder; choose another name")


def _swap(made: Path, target: Path, ours: Collection[str]) -> None:
    """`made` takes the place of `target`, and with it what only `target` has and is not among `ours`."""
    if not target.exists():
        made.rename(target)
        return
    old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
    target.rename(old)
    moved: list[str] = []
    try:
        for name in files_in(old):
            if name not in ours and not (made / name).exists():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (old / name).rename(made / name)
                moved.append(name)
        made.rename(target)
    except OSError:
        for name in moved:
            (made / name).rename(old / name)
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
