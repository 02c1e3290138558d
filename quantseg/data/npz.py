"""Reading of .npz files, untrusted: archives of .npy files, packed only as numpy packs them."""

import zipfile
from pathlib import Path
from typing import IO, Any, BinaryIO

from numpy.typing import NDArray

from quantseg.data.npy import DAMAGE, Check, damaged, read_array
from quantseg.data.npy_format import check_packing
from quantseg.errors import DataError
from quantseg.files import limits, open_file


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
        raise damaged(path, error) from error


def names_in_npz(path: Path) -> tuple[str, ...]:
    """The names of the arrays in an .npz file. Raises DataError naming the file where it is damaged."""
    try:
        with Archive(path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except DAMAGE as error:
        raise damaged(path, error) from error


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
        with self._opened(member) as stream:
            return stream.read(limits.ARCHIVE_TEXT).decode()

    def array(self, name: str, *, max_items: int, check: Check | None = None) -> NDArray[Any]:
        """The array of a member, as `read_npy` reads one. Raises KeyError, DataError, and the exceptions of DAMAGE."""
        member = self.getinfo(name)
        with self._opened(member) as stream:
            return read_array(self.path, stream, member.file_size, max_items, check)

    def _opened(self, member: zipfile.ZipInfo) -> IO[bytes]:
        check_packing(member)
        return self.open(member)

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
