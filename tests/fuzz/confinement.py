"""What an input must not do beside its answer: touch files outside its folder, leave some behind, start programs."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.places import ROOT

SECRET = b"not to be read: a file outside the input's folder. " * 200
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_READABLE = (
    sys.prefix, sys.base_prefix, str(Path(os.__file__).parent), *filter(None, sys.path), str(ROOT / "quantseg"),
    str(ROOT / "tests"), "/proc", "/sys", "/dev", "/usr", "/lib", "/lib64", "/etc/os-release", "/etc/mime.types",
    "/etc/localtime", "/etc/ld.so.cache",
)  # fmt: skip
"""Where Python, its packages and the machine's own description lie."""
_CHANGES = {
    "os.remove": 1,
    "os.rename": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.chmod": 1,
}
"""Events of the audit hook that change the disk → how many of their arguments are paths."""
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "socket.connect", "socket.bind")


class Confinement:
    """The folder of one input and what is seen while it is tried. One in a process: audit hooks stay for good."""

    _hooked: "Confinement | None" = None
    _installed = False

    def __init__(self, place: Path) -> None:
        """place: a folder of our own, for the input's folder, temporary files, and a file not to be read."""
        self.place = Path(os.path.realpath(place))
        self.folder, self.temporary = self.place / "input", self.place / "temporary"
        self.violations: list[str] = []
        for folder in (self.folder, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)
        (self.place / "secret.bin").write_bytes(SECRET)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While this is open, what Python does to files is noted in `violations`; temporary files go to `temporary`."""
        if not Confinement._installed:
            sys.addaudithook(_audited)
            Confinement._installed = True
        before = tempfile.tempdir
        tempfile.tempdir = str(self.temporary)
        Confinement._hooked = self
        try:
            yield
        finally:
            Confinement._hooked = None
            tempfile.tempdir = before

    def listing(self) -> dict[str, tuple[int, int]]:
        """Every file of the input's folder with size and time of its last change."""
        found = {}
        for path in self.folder.rglob("*"):
            state = path.lstat()
            changes = not path.is_dir() or path.is_symlink()
            found[str(path.relative_to(self.folder))] = (state.st_size, state.st_mtime_ns) if changes else (0, 0)
        return found

    def leaks(self, names: list[str]) -> list[str]:
        """Those of the written files that hold the secret."""
        files = [name for name in names if (self.folder / name).is_file()]
        return [name for name in files if SECRET[:40] in (self.folder / name).read_bytes()]

    def left_behind(self) -> list[str]:
        """Temporary files that are still there."""
        return sorted(path.name for path in self.temporary.iterdir())

    def noted(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Notes what an event of the audit hook does, if it should not."""
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, (str, bytes)):
                writes = bool(flags & _WRITES) if isinstance(flags, int) else bool(set(str(mode)) & set("wax+"))
                self._path(path, "writes" if writes else "reads")
        elif event in _PROGRAMS:
            self.violations.append(f"{event} {arguments[0]!r}"[:200])
        elif event in _CHANGES:
            relative = arguments[_CHANGES[event] :]
            if not any(isinstance(one, int) and one >= 0 for one in relative[:1] if event != "os.mkdir"):
                for path in arguments[: _CHANGES[event]]:
                    if isinstance(path, (str, bytes)) and event != "os.symlink":
                        self._path(path, event)

    def _path(self, path: str | bytes, what: str) -> None:
        real = os.path.realpath(os.fsdecode(path))
        allowed = (str(self.folder), str(self.temporary), "/dev/null", *(_READABLE if what == "reads" else ()))
        if not any(real == one or real.startswith(one.rstrip("/") + "/") for one in allowed):
            self.violations.append(f"{what} {real}"[:300])


def _audited(event: str, arguments: tuple[Any, ...]) -> None:
    watched = Confinement._hooked
    if watched is not None and (event == "open" or event in _CHANGES or event in _PROGRAMS):
        Confinement._hooked = None  # what noting itself does is not noted
        try:
            watched.noted(event, arguments)
        finally:
            Confinement._hooked = watched
