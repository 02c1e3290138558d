"""Reading of .npy files, untrusted: without pickle, and checked before memory is allocated for the array."""

import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.npy_format import read_elements, read_header
from quantseg.errors import DataError
from quantseg.files import open_file

DAMAGE = (OSError, EOFError, ValueError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)
"""Exceptions of damaged .npy and .npz files."""

Check = Callable[[tuple[int, ...], np.dtype[Any]], None]


def read_npy(path: Path, *, max_items: int, check: Check | None = None) -> NDArray[Any]:
    """The array of an .npy file.

    check: is called with shape and dtype before memory is allocated, and raises DataError to refuse them. Raises
    DataError naming the file where it is damaged, contains objects or has more than `max_items` elements.
    """
    try:
        with open_file(path) as stream:
            return read_array(path, stream, os.fstat(stream.fileno()).st_size, max_items, check)
    except DAMAGE as error:
        raise damaged(path, error) from error


def read_shape(path: Path) -> tuple[int, ...]:
    """The shape of an .npy file, from its header. Raises DataError where that is damaged."""
    try:
        with open_file(path) as stream:
            return read_header(stream).shape
    except DAMAGE as error:
        raise damaged(path, error) from error


def read_array(path: Path, stream: IO[bytes], size: int, max_items: int, check: Check | None) -> NDArray[Any]:
    """The array in a stream of `size` bytes; see `read_npy`. Raises DataError, and the exceptions of DAMAGE."""
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


def damaged(path: Path, error: Exception) -> DataError:
    """The error that an array file is damaged."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return DataError(f"{path}: not an array that numpy can read ({reason}); save it anew with numpy.save")
