"""The folder of an app: written whole, with a list of its files, so that nothing else is ever replaced."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantseg.errors import OutputError
from quantseg.files import read_json, sha256_of_file, write_json
from quantseg.files.folders import check_folder_writable, files_in, replacing_folder
from quantseg.files.origin import Origin, found_in
from quantseg.shipping.contents import App

LISTING = "quantseg.json"
"""The list: path → SHA-256 of every other file, with the mark of the command that wrote them."""
_REMEDY = "choose another folder, or overwrite what is ours with force=True"


def check_folder(folder: Path, origin: Origin | None = None, *, force: bool = False) -> None:
    """Raises OutputError where an app cannot be written to the folder, or it holds anything but one made alike.

    origin: the mark of the app to be written; None: only a folder that is not there, or empty, is taken. force: the
    folder is taken whatever it holds; files of others in it stay.
    """
    check_folder_writable(folder)
    if force or not folder.exists() or not files_in(folder):
        return
    mark, listed = found_in(folder / LISTING), _listed(folder)
    if mark is None or origin is None or listed is None:
        raise OutputError(f"{folder}: is there and was not written by quantseg ship; {_REMEDY}")
    if mark.origin != origin:
        raise OutputError(f"{folder}: was written for another model or other images; {_REMEDY}")
    if mark.changed:
        raise OutputError(f"{folder}: {LISTING} was changed since quantseg ship wrote it; {_REMEDY}")
    for name in files_in(folder):
        path = folder / name
        if name == LISTING:
            continue
        if name not in listed or path.is_symlink():
            raise OutputError(f"{folder}: holds {name}, which quantseg ship did not write; {_REMEDY}")
        if sha256_of_file(path) != listed[name]:
            raise OutputError(f"{path}: was changed since quantseg ship wrote it; {_REMEDY}")


def write_folder(app: App, folder: Path, origin: Origin | None = None) -> Path:
    """Writes the app; the folder is complete or as it was before. Raises OutputError."""
    with replacing_folder(folder, ours=(*(_listed(folder) or ()), LISTING)) as made:
        digests = {}
        for name, content in sorted(app.files.items()):
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            digests[name] = hashlib.sha256(content).hexdigest()
        value = {"files": digests}
        write_json(made / LISTING, value if origin is None else origin.marked_json(value))
    return folder


def _listed(folder: Path) -> Mapping[str, str] | None:
    """Path → SHA-256, as the list has them; None where it is no such list."""
    try:
        value: Any = read_json(folder / LISTING)["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return value if isinstance(value, dict) else None
