"""Reading of .npy and .npz files without pickle; the header is checked before memory is allocated for the array."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.npy_format import check_packing, read_elements, read_header
from quantseg.errors import DataError

DAMAGE = (OSError, EOFError, ValueError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)
"""Exceptions of damaged files."""

Check = Callable[[tuple[int, ...], np.dtype[Any]], None]


def read_npy(path: Path, *, max_items: int, check: Check | None = None) -> NDArray[Any]:
    """The array of an .npy file.

    check: is called with shape and dtype before memory is allocated, and raises DataError to refuse them. Raises
    DataError naming the file where it is damaged, contains objects or has more than `max_items` elements.
    """
    try:
        return _read(path, path.open("rb"), path.stat().st_size, max_items, check)
    except DAMAGE as error:
        raise _damaged(path, error) from error


def read_npz(path: Path, key: str, *, max_items: int, check: Check | None = None) -> NDArray[Any]:
    """The only array of an .npz file, or the one named `key`; otherwise as `read_npy`."""
    try:
        with zipfile.ZipFile(path) as archive:
            keys = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = keys[0] if len(keys) == 1 else key
            if chosen not in keys:
                raise DataError(f"{path}: has {len(keys)} arrays and none named {key!r}; name the model's input so")
            member = archive.infolist()[keys.index(chosen)]
            check_packing(member)
            return _read(path, archive.open(member), member.file_size, max_items, check)
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _read(
    path: Path, opened: AbstractContextManager[IO[bytes]], size: int, max_items: int, check: Check | None
) -> NDArray[Any]:
    """size: bytes that the file says it has."""
    with opened as stream:
        header = read_header(stream)
        if header.dtype.kind not in "biuf":
            raise DataError(f"{path}: holds {header.dtype} values, not numbers; save a plain array")
        if header.size > max_items:
            raise DataError(f"{path}: holds {header.size:,} numbers, more than {max_items:,}; split it")
        if check is not None:
            check(header.shape, header.dtype)
        if header.size * header.dtype.itemsize > size:
            raise ValueError("it is cut short")
        return read_elements(stream, header)


def _damaged(path: Path, error: Exception) -> DataError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return DataError(f"{path}: not an array that numpy can read ({reason}); save it anew with numpy.save")
