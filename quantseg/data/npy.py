"""Reading of .npy and .npz files without pickle; the header is checked before memory is allocated for the array."""

import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import DataError

MAX_ITEMS = 1 << 28
"""Larger arrays are refused before memory is allocated (268 million elements, 1 GiB of float32)."""
_MAX_HEADER = 4096
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)

Check = Callable[[tuple[int, ...], np.dtype[Any]], None]


def read_npy(path: Path, *, max_items: int, check: Check | None = None) -> NDArray[Any]:
    """The array of an .npy file.

    check: is called with shape and dtype before memory is allocated, and raises DataError to refuse them. Raises
    DataError naming the file where it is damaged, contains objects or has more than `max_items` elements.
    """
    return _read(path, lambda: path.open("rb"), max_items, check)


def read_shape(path: Path) -> tuple[int, ...]:
    """The shape of an .npy file, from its header. Raises DataError where that is damaged."""
    try:
        with path.open("rb") as stream:
            return _header(stream)[0]
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def read_npz(path: Path, key: str, *, max_items: int, check: Check | None = None) -> NDArray[Any]:
    """The only array of an .npz file, or the one named `key`; otherwise as `read_npy`."""
    try:
        with zipfile.ZipFile(path) as archive:
            keys = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = keys[0] if len(keys) == 1 else key
            if chosen not in keys:
                raise DataError(f"{path}: has {len(keys)} arrays and none named {key!r}; name the model's input so")
            member = archive.namelist()[keys.index(chosen)]
            return _read(path, lambda: archive.open(member), max_items, check)
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def names_in_npz(path: Path) -> tuple[str, ...]:
    """The names of the arrays in an .npz file. Raises DataError naming the file where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _read(
    path: Path, opened: Callable[[], AbstractContextManager[IO[bytes]]], max_items: int, check: Check | None
) -> NDArray[Any]:
    try:
        with opened() as stream:
            shape, dtype = _header(stream)
        if dtype.kind not in "biuf":
            raise DataError(f"{path}: holds {dtype} values, not numbers; save a plain array")
        if prod(shape) > max_items:
            raise DataError(f"{path}: holds {prod(shape):,} numbers, more than {max_items:,}; split it")
        if check is not None:
            check(shape, dtype)
        with opened() as stream:
            array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False, max_header_size=_MAX_HEADER)
            return array
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    reader = _READERS.get(np.lib.format.read_magic(stream))
    if reader is None:
        raise ValueError("version of the header is not 1 or 2")
    shape, _, dtype = reader(stream, max_header_size=_MAX_HEADER)
    return shape, dtype


def _damaged(path: Path, error: Exception) -> DataError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return DataError(f"{path}: not an array that numpy can read ({reason}); save it anew with numpy.save")
