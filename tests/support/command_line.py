"""quantseg as a command: what it leaves behind, and how to run it in a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import ROOT


@dataclass(frozen=True)
class Outcome:
    """A command's exit code and its words."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


def shell(*words: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """`quantseg WORDS` in a process of its own."""
    command = [sys.executable, "-m", "quantseg", *words]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "NO_COLOR": "1", "TERMINAL_WIDTH": "100"}
    environment["QUANTSEG_PROGRESS"] = "off"
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
