"""Commands ended at random moments: nothing half-written or left over, no traceback, no orphan; the next run is whole.

    python -m tests.bench.kills --kills 100 --seed 0

Prints a Markdown table; exit code 1 if anything was wrong. `calibrate` works with two workers and saves after every
image, to be continued; `quantize` is balanced.
"""

import json
import math
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from PIL import Image

from quantseg.calibration import file as calibrations
from quantseg.report import tables
from tests.bench import writing
from tests.support import models
from tests.support.ended import QUANTSEG, Ended, ended, processor_time

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
IMAGES, SIZE = 12, 32
_STEP = 0.005
"""Seconds between two looks at a command's processor time."""
_OFTEN = """
from quantseg.cli import ending
ending.guard()
import quantseg.calibration.calibrate as calibration
calibration.SAVE_EVERY_SECONDS = 0.0
from quantseg.cli.commands import run
ending.leave(run())
"""
"""`quantseg`, saving an unfinished calibration after each image."""
HEADERS = ("command", "signal", "kills", "late", "ends in, s", "at most", "half", "left", "traces", "orphans", "codes",
           "differ")  # fmt: skip
"""late: the command was done before. ends in: seconds from the signal, the median. Then in how many a file was half
written, something was left over, a traceback shown, a process outlived the command, the exit code or the line was
wrong, the next run gave other results."""


@dataclass(frozen=True)
class Victim:
    """A command to end. words: from the folder of its inputs and that of its output.

    read: what must be equal whenever the command has run to its end; it raises for a file that is not whole.
    """

    words: Callable[[Path, Path], Sequence[object]]
    read: Callable[[Path], Any]
    python: Sequence[str] = QUANTSEG


def _plain(folder: Path) -> Mapping[str, bytes]:
    """Bytes of the files."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not _is_partial(path)}


def _measured(folder: Path) -> Mapping[str, Any]:
    """A report's files; of their contents what does not depend on times."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(folder).as_posix()
        found[name] = None
        if path.suffix == ".json":
            content = json.loads(text)
            found[name] = {key: content[key] for key in ("evaluation", "models", "plan") if key in content}
        elif not re.search(r"</html>\s*<!--[^>]*-->\n\Z" if path.suffix == ".html" else r"\n\Z", text):
            raise ValueError(f"{name} ends in {text[-20:]!r}")
    return found


VICTIMS: Mapping[str, Victim] = {
    "calibrate": Victim(
        lambda given, out: ("calibrate", given / "net.onnx", "--data", given / "images", "--workers", 2, "--threads", 1,
                            "-o", out / "c.json"),
        _plain,
        ("-c", _OFTEN),
    ),
    "quantize": Victim(
        lambda given, out: ("quantize", given / "net.onnx", "--data", given / "images", "-o", out / "net.int8.onnx",
                            "--threads", 1),
        _plain,
    ),
    "report": Victim(
        lambda given, out: ("report", given / "net.onnx", "--data", given / "images", "--effort", "fast", "--rounds", 1,
                            "--threads", 1, "-o", out),
        _measured,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Kill:
    """One command that was ended, and what was wrong then.

    moment: seconds of processor time until the signal. again: whether the next run gave other results.
    """

    victim: str
    signal: signal.Signals
    moment: float
    end: Ended
    half: tuple[str, ...]
    left: tuple[str, ...]
    again: bool

    @property
    def in_time(self) -> bool:
        """Whether the signal came before the command was done."""
        return self.end.seconds is not None and self.end.code != 0

    @property
    def wrong_code(self) -> bool:
        """Whether a command that was ended says otherwise, or in other than one line."""
        if not self.in_time:
            return self.end.code != 0
        if self.signal == signal.SIGKILL:
            return self.end.code != -signal.SIGKILL
        return self.end.code != 128 + self.signal or len(self.end.said) != 1

    @property
    def traceback(self) -> bool:
        """Whether any process showed a traceback."""
        return "Traceback" in self.end.err

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.half or self.left or self.again or self.wrong_code or self.traceback or self.end.orphans)


def kills(count: int, seed: int, report: Callable[[Kill], None] = lambda kill: None) -> list[Kill]:
    """Ends commands `count` times, commands and signals in turn, at moments drawn from the seed."""
    drawn, made = random.Random(seed), []
    with tempfile.TemporaryDirectory(prefix="quantseg-kills-") as name:
        place = Path(name)
        _inputs(place)
        undisturbed = {name: _undisturbed(place, victim) for name, victim in VICTIMS.items()}
        for number in range(count):
            victim = tuple(VICTIMS)[number % len(VICTIMS)]
            sent = SIGNALS[number // len(VICTIMS) % len(SIGNALS)]
            took, wanted = undisturbed[victim]
            kill = _kill(place, victim, sent, drawn.random() * took, wanted)
            report(kill)
            made.append(kill)
    return made


def rows(made: Sequence[Kill]) -> list[tables.Row]:
    """A line for each command and signal."""
    found: list[tables.Row] = []
    for victim in VICTIMS:
        for sent in SIGNALS:
            some = [kill for kill in made if (kill.victim, kill.signal) == (victim, sent)]
            times = [kill.end.seconds for kill in some if kill.in_time and kill.end.seconds is not None]
            if some:
                found.append((
                    victim, sent.name, len(some), sum(not kill.in_time for kill in some),
                    f"{median(times):.2f}" if times else None, f"{max(times):.2f}" if times else None,
                    *(sum(map(bool, column)) for column in zip(*(
                        (k.half, k.left, k.traceback, k.end.orphans, k.wrong_code, k.again) for k in some
                    ), strict=True)),
                ))  # fmt: skip
    return found


def _inputs(place: Path) -> None:
    (place / "images").mkdir()
    onnx.save(models.unet(base=8, depth=2, classes=3, size=SIZE), place / "net.onnx")
    for number in range(IMAGES):
        pixels = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"images/{number}.png")


def _undisturbed(place: Path, victim: Victim) -> tuple[float, Any]:
    """The processor time that the command takes, and what it writes. The first run warms the caches up."""
    took = 0.0

    def watch(process: "subprocess.Popen[str]") -> None:
        nonlocal took
        while process.poll() is None and (now := processor_time(process)) < math.inf:
            took = now
            time.sleep(_STEP)

    for _ in range(2):
        out = _emptied(place / "out")
        whole = ended(victim.words(place, out), None, watch, _emptied(place / "tmp"), victim.python)
        if whole.code or whole.temporaries or whole.orphans:
            raise RuntimeError(f"undisturbed: {whole}")
    return took, victim.read(out)


def _kill(place: Path, name: str, sent: signal.Signals, moment: float, wanted: Any) -> Kill:
    victim, out, temporary = VICTIMS[name], _emptied(place / "out"), _emptied(place / "tmp")
    words = victim.words(place, out)

    def wait(process: "subprocess.Popen[str]") -> None:
        while process.poll() is None and processor_time(process) < moment:
            time.sleep(_STEP)

    end = ended(words, sent, wait, temporary, victim.python)
    half = tuple(_halves(out, victim, wanted))
    left = () if sent == signal.SIGKILL else (*end.temporaries, *(path.name for path in out.rglob(".*.tmp")))
    again = ended(words, None, lambda process: None, _emptied(place / "tmp"), victim.python)
    stale = [path for path in out.rglob("*") if _is_partial(path)]
    for path in out.rglob(".*.tmp"):  # of SIGKILL
        path.unlink()
    differs = again.code != 0 or bool(stale) or bool(again.temporaries) or victim.read(out) != wanted
    return Kill(name, sent, moment, end, half, left, differs)


def _halves(out: Path, victim: Victim, wanted: Any) -> list[str]:
    """Files that are not whole: others than an undisturbed run writes, or no calibration that can be continued."""
    wrong = []
    for path in out.rglob("*.partial"):
        try:
            calibrations.read(path)
        except Exception as error:
            wrong.append(f"{path.name}: {error}")
    try:
        found = victim.read(out)
    except Exception as error:
        return [*wrong, str(error)]
    return [*wrong, *(key for key, content in found.items() if key in wanted and content != wanted[key])]


def _is_partial(path: Path) -> bool:
    return path.name.endswith(".partial") or path.name.startswith(".")


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def main() -> None:
    """Prints the table, and on standard error each kill as it is done."""
    parser = writing.parser(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()

    def report(kill: Kill) -> None:
        took = f"{kill.end.seconds:.2f} s" if kill.in_time else "too late"
        said = f"{took}, code {kill.end.code}, {kill.end.said}" if kill.is_clean else f"WRONG {kill}"
        print(f"{kill.victim}, {kill.signal.name} after {kill.moment:.2f} s: {said}", file=sys.stderr, flush=True)

    made = kills(asked.kills, asked.seed, report)
    print(tables.markdown(HEADERS, rows(made)))
    sys.exit(not all(kill.is_clean for kill in made))


if __name__ == "__main__":
    main()
