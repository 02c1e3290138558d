"""A folder of a data set, and where its symbolic links may lead: by default to no place outside the data folder.

A data set that comes from elsewhere may hold links to any file of this machine, which would then be read, shown in
reports, or summed up in a calibration file.
"""

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from quantseg.errors import DataError
from quantseg.files import kind_of


@dataclass(frozen=True)
class Place:
    """A folder or file of a data set.

    path: as the user wrote it, for names and messages. roots: the real paths of the folders that it must lie in; None
    where links are followed anywhere.
    """

    path: Path
    roots: tuple[str, ...] | None = None

    @staticmethod
    def of(folder: Path, *, follow_links: bool = False) -> "Place":
        """The data folder, which may be a link itself. To a folder named images that beside it belongs, with masks/."""
        if follow_links:
            return Place(folder)
        whole = (folder, folder.absolute().parent) if folder.absolute().name == "images" else (folder,)
        return Place(folder, tuple(os.path.realpath(one) for one in whole))

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str | PurePath) -> "Place":
        return replace(self, path=self.path / name)

    @property
    def name(self) -> str:
        """The folder's own name, also of the current folder."""
        return self.path.absolute().name

    def beside(self, name: str) -> "Place":
        """What has this name in the folder that this one lies in."""
        return replace(self, path=self.path.absolute().parent / name)

    def check(self) -> None:
        """Raises DataError where a symbolic link leads out of the data folder."""
        if self.roots is None:
            return
        real = os.path.realpath(self.path)
        if not any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in self.roots):
            raise DataError(
                f"{self}: a symbolic link leads out of the data folder; copy the data there, or give follow_links=True"
            )

    def is_dir(self) -> bool:
        """Whether it is a folder. Raises DataError as `check` does."""
        self.check()
        return self.path.is_dir()

    def is_file(self) -> bool:
        """Whether it is a file, and no device, pipe or socket. Raises DataError as `check` does."""
        self.check()
        return self.path.is_file()

    def holds(self, name: PurePath) -> bool:
        """Whether the folder, which was checked, has a file of this name. Raises DataError as `check` does."""
        try:
            plain = len(name.parts) == 1 and stat.S_ISREG((self.path / name).lstat().st_mode)
        except OSError:
            plain = False
        return plain or (self / name).is_file()  # which asks the file system for each folder above

    def require_file(self) -> None:
        """Raises DataError where it is no file, or outside the data folder. Nothing is opened."""
        self.check()
        try:
            if not self.path.is_file():
                raise DataError(f"{self}: {kind_of(self.path.stat().st_mode)}, not a file; remove it")
        except OSError as error:
            raise DataError(f"{self}: cannot be read ({error.strerror or error}); remove it") from error
