"""Targets that do what none may: the tests of the fuzzer itself see each of them found and named."""

import os
import signal
import sys
import time
from pathlib import Path
from random import Random

import numpy as np

from quantseg.errors import DataError, QuantSegError
from tests.fuzz import worker
from tests.fuzz.confinement import SECRET
from tests.fuzz.target import Target


def _nothing(random: Random, folder: Path) -> None:
    (folder / "a.bin").write_bytes(random.randbytes(8))


def _refuse(message: str) -> QuantSegError:
    return DataError(message)


def _right(random: Random, folder: Path) -> None:
    if random.random() < 0.5:
        raise _refuse("a.bin: is wrong; mend it")
    (folder / "out.bin").write_bytes(b"right")


def _bug(random: Random, folder: Path) -> None:
    {}["missing"]


def _crash(random: Random, folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang(random: Random, folder: Path) -> None:
    time.sleep(3600)


def _memory(random: Random, folder: Path) -> None:
    np.ones(100 << 17).sum()


def _no_memory(random: Random, folder: Path) -> None:
    np.ones(1 << 40)


def _reads(random: Random, folder: Path) -> None:
    (folder / "../secret.bin").read_bytes()


def _writes(random: Random, folder: Path) -> None:
    (folder / "../other.bin").write_bytes(b"")


def _leaks(random: Random, folder: Path) -> None:
    (folder / "out.bin").write_bytes(b"." + SECRET)


def _starts(random: Random, folder: Path) -> None:
    os.system("true")


def _leaves(random: Random, folder: Path) -> None:
    (folder / ".out.tmp").write_bytes(b"half")
    raise _refuse("a.bin: is wrong; mend it")


class _Raw(QuantSegError):
    """An error whose message is printed as it is."""

    def __str__(self) -> str:
        return str(self.args[0])


def _raises(message: str) -> Target:
    def run(random: Random, folder: Path) -> None:
        raise _Raw(message)

    return Target(f"nothing; says {message[:10]!r}", _nothing, run)


FAULTY = {
    "right": Target("nothing; is right", _nothing, _right),
    "bug": Target("nothing; raises KeyError", _nothing, _bug),
    "crash": Target("nothing; crashes", _nothing, _crash),
    "hang": Target("nothing; hangs", _nothing, _hang),
    "memory": Target("nothing; takes 100 MiB", _nothing, _memory),
    "no memory": Target("nothing; asks for 8 TiB", _nothing, _no_memory),
    "reads": Target("what lies outside", _nothing, _reads),
    "writes": Target("nothing; writes outside", _nothing, _writes),
    "leaks": Target("nothing; writes what lies outside", _nothing, _leaks),
    "starts": Target("nothing; starts a program", _nothing, _starts),
    "leaves": Target("nothing; leaves half a file", _nothing, _leaves),
    "lines": _raises("one\ntwo"),
    "long": _raises("x" * 2000),
    "unprintable": _raises("\x1b[31m"),
    "empty": _raises(""),
}


if __name__ == "__main__":
    worker.main(FAULTY, sys.argv[1:])
