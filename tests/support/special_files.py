"""What may stand at a path beside files and folders, for tests that it is neither opened nor replaced."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest


def pipe(path: Path) -> None:
    """A named pipe."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(path)


def device(path: Path) -> None:
    """The null device again, under this name."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except (AttributeError, OSError):
        pytest.skip("this user may make no devices")


def listening(path: Path) -> None:
    """A socket; bound by its short name, as paths of sockets are at most 108 bytes."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(before)


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (pipe, "a named pipe"),
    "device": (device, "a device"),
    "socket": (listening, "a socket"),
}
"""Name → what makes it, and what messages call it."""
