"""Reading of .npy and .npz files without pickle; the header is checked before memory is allocated for the array."""

import os
import zipfile
import zlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quantseg import limits
from quantseg.errors import DataError
from quantseg.files import open_file

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
DAMAGE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""Exceptions of damaged files."""

Check = Callable[[tuple[int, ...], np.dtype[Any]], None]


class Archive(zipfile.ZipFile):
    """An .npz file, open to be read. Raises OSError, and BadZipFile also for a list of contents beyond `limits`."""

    _stream: "_Bounded | None" = None

    def __init__(self, path: Path) -> None:
        self.path, self._stream = path, _Bounded(open_file(path))
        try:
            super().__init__(self._stream)
        except BaseException:
            self._stream.close()
            raise
        self._stream.most = None

    def text(self, name: str) -> str:
        """The text of a member. Raises KeyError for a name that is not there, and the exceptions of DAMAGE."""
        member = self.getinfo(name)
        if member.file_size > limits.ARCHIVE_TEXT:
            raise ValueError(f"{name} has more than {limits.ARCHIVE_TEXT:,} bytes")
        return self.read(member).decode()

    def array(self, name: str, *, max_items: int, check: Check | None = None) -> NDArray[Any]:
        """The array of a member, as `read_npy` reads one. Raises KeyError, DataError, and the exceptions of DAMAGE."""
        member = self.getinfo(name)
        with self.open(member) as stream:
            return _read(self.path, stream, member.file_size, max_items, check)

    def close(self) -> None:
        """Closes the file."""
        super().close()
        if self._stream is not None:
            self._stream.close()


class _Bounded:
    """A stream of which at most `most` bytes are read at once, as zipfile does with an archive's list of contents."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.most: int | None = limits.ARCHIVE_DIRECTORY
        self.seek, self.tell, self.close, self.seekable = stream.seek, stream.tell, stream.close, stream.seekable

    def read(self, size: int = -1) -> bytes:
        """As a file does."""
        if self.most is not None and size > self.most:
            raise zipfile.BadZipFile(f"its list of contents has more than {self.most:,} bytes")
        return self._stream.read(size)


def read_npy(path: Path, *, max_items: int, check: Check | None = None) -> NDArray[Any]:
    """The array of an .npy file.

    check: is called with shape and dtype before memory is allocated, and raises DataError to refuse them. Raises
    DataError naming the file where it is damaged, contains objects or has more than `max_items` elements.
    """
    try:
        with open_file(path) as stream:
            return _read(path, stream, os.fstat(stream.fileno()).st_size, max_items, check)
    except DAMAGE as error:
        raise _damaged(path, error) from error


def read_shape(path: Path) -> tuple[int, ...]:
    """The shape of an .npy file, from its header. Raises DataError where that is damaged."""
    try:
        with open_file(path) as stream:
            return _header(stream)[0]
    except DAMAGE as error:
        raise _damaged(path, error) from error


def read_npz(path: Path, key: str, *, max_items: int, check: Check | None = None) -> NDArray[Any]:
    """The only array of an .npz file, or the one named `key`; otherwise as `read_npy`."""
    try:
        with Archive(path) as archive:
            keys = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = keys[0] if len(keys) == 1 else key
            if chosen not in keys:
                raise DataError(f"{path}: has {len(keys)} arrays and none named {key!r}; name the model's input so")
            return archive.array(archive.namelist()[keys.index(chosen)], max_items=max_items, check=check)
    except DAMAGE as error:
        raise _damaged(path, error) from error


def names_in_npz(path: Path) -> tuple[str, ...]:
    """The names of the arrays in an .npz file. Raises DataError naming the file where it is damaged."""
    try:
        with Archive(path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _read(path: Path, stream: IO[bytes], size: int, max_items: int, check: Check | None) -> NDArray[Any]:
    """The array in a stream of `size` bytes, whose position is its beginning."""
    shape, dtype = _header(stream)
    if dtype.kind not in "biuf":
        raise DataError(f"{path}: holds {dtype} values, not numbers; save a plain array")
    if prod(shape) > max_items:
        raise DataError(f"{path}: holds {prod(shape):,} numbers, more than {max_items:,}; split it")
    if check is not None:
        check(shape, dtype)
    if prod(shape) * dtype.itemsize > size - stream.tell():
        raise ValueError("it is cut short")
    stream.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False, max_header_size=limits.ARRAY_HEADER)
    return array


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    reader = _READERS.get(np.lib.format.read_magic(stream))
    if reader is None:
        raise ValueError("version of the header is not 1 or 2")
    shape, _, dtype = reader(stream, max_header_size=limits.ARRAY_HEADER)
    if not all(type(length) is int for length in shape):
        raise ValueError(f"shape {shape} holds more than whole numbers")
    return shape, dtype


def _damaged(path: Path, error: Exception) -> DataError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return DataError(f"{path}: not an array that numpy can read ({reason}); save it anew with numpy.save")
