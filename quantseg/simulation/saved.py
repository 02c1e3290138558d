"""A simulation saved in a file: every tensor of every image, with a description of the model.

The format is .npz: a zip archive of .npy files named N/TENSOR for image number N, and run.json. The same run gives the
same bytes.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from quantseg.data.npy import DAMAGE
from quantseg.data.npz import Archive
from quantseg.errors import DataError
from quantseg.files import replacing
from quantseg.simulation.arithmetic.sizes import MOST_BYTES

Array = NDArray[Any]
_ABOUT = "run.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Writing:
    """An open archive that takes tensors one by one."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, image: int, tensor: str, values: Array) -> None:
        """Stores one tensor of one image."""
        buffer = io.BytesIO()
        npy.write_array(buffer, np.ascontiguousarray(values), allow_pickle=False)
        self._store(f"{image}/{tensor}.npy", buffer.getvalue())

    def about(self, facts: Mapping[str, Any]) -> None:
        """Stores the description of the run."""
        self._store(_ABOUT, json.dumps(facts, indent=1, sort_keys=True).encode())

    def _store(self, name: str, content: bytes) -> None:
        info = zipfile.ZipInfo(name, _EPOCH)
        info.compress_type = zipfile.ZIP_DEFLATED
        self._archive.writestr(info, content, compresslevel=1)


@contextmanager
def writing(path: Path, comment: str = "") -> Iterator[Writing]:
    """Opens a new archive with a comment; it appears only once it is complete.

    Raises OutputError where it cannot be written.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.comment = comment.encode()
        yield Writing(archive)


class SavedRun:
    """A saved run, to compare a simulation with."""

    def __init__(self, path: Path, images: Sequence[str]) -> None:
        """Raises DataError where the file is no saved run, or one on other images."""
        self._path = path
        try:
            self._archive = Archive(path)
            known = _image_names(self._archive)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror or error}); give a run of simulate save=…"
            ) from error
        except (*DAMAGE, LookupError, TypeError) as error:
            raise DataError(
                f"{path}: is no saved run; make one with quantseg simulate MODEL data=DIR save=FILE"
            ) from error
        missing = [name for name in images if name not in known]
        if missing:
            raise DataError(f"{path}: has no image {missing[0]!r}; run both on the same images")
        self._numbers = {name: number for number, name in enumerate(known)}

    def tensors(self, image: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """The stored tensors of one image, each read when accessed."""
        return _Stored(self._archive, self._path, f"{self._numbers[image]}/")

    def outputs(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Empty: there is no separate run."""
        return {}

    def close(self) -> None:
        """Closes the file."""
        self._archive.close()


def _image_names(archive: Archive) -> list[str]:
    """The names of the images of a run, in order. Raises one of DAMAGE, KeyError or TypeError where it is none."""
    try:
        facts = json.loads(archive.text(_ABOUT))
    except RecursionError as error:
        raise ValueError("lists within lists without end") from error
    names = facts.get("images") if isinstance(facts, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise KeyError("images")
    return names


class _Stored(Mapping[str, Array]):
    """The tensors of one image in an archive."""

    def __init__(self, archive: Archive, path: Path, prefix: str) -> None:
        self._archive, self._path = archive, path
        inside = (name for name in archive.namelist() if name.startswith(prefix) and name.endswith(".npy"))
        self._files = {name[len(prefix) : -len(".npy")]: name for name in inside}

    def __getitem__(self, tensor: str) -> Array:
        try:
            return self._archive.array(self._files[tensor], max_items=MOST_BYTES)
        except (*DAMAGE, DataError) as error:
            raise DataError(f"{self._path}: {tensor!r} in it is damaged; save the run again") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
