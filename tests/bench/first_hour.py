"""The first hour of a newcomer, recorded: README's first commands in an empty environment, then models of one's own.

    python -m tests.bench.first_hour MODEL.onnx=IMAGES [MODEL.onnx=IMAGES=FLAGS …]

FLAGS is what the owner of a model knows of its preprocessing, such as "--channels RGB --scale 1".

Each command runs as it would in a pipe; its time, its longest silence and what it said are written to
reports/first_hour.md. Exit code 1 if a command failed, or was silent for more than SILENCE seconds.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantseg.files import write_text
from quantseg.runtimes.provenance import provenance
from tests.bench import writing

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "reports" / "first_hour.md"
SILENCE = 10.5
"""Seconds; half a second is what starting a line may take on a busy machine."""
MOST_LINES, WIDTH = 60, 120


@dataclass(frozen=True)
class Said:
    """A command and what came of it. silence: the longest time without a byte of output, in seconds."""

    command: str
    code: int
    seconds: float
    silence: float
    lines: tuple[str, ...]
    may_be_silent: bool


def recorded(command: str, folder: Path, path: str, *, may_be_silent: bool = False) -> Said:
    """Runs a command line in the folder. may_be_silent: for what is not this tool's; its words are not kept."""
    began = last = time.monotonic()
    silence, lines = 0.0, list[str]()
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "QUANTSEG_PROGRESS")}
    environment = {**kept, "PATH": path, "NO_COLOR": "1"}
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        now = time.monotonic()
        silence, last = max(silence, now - last), now
        lines.append(line.rstrip("\n"))
    code, end = process.wait(), time.monotonic()
    kept_lines = () if may_be_silent and code == 0 else tuple(lines)
    return Said(command, code, end - began, max(silence, end - last), kept_lines, may_be_silent)


def hour(own: Sequence[tuple[Path, Path, str]]) -> Iterator[Said]:
    """Every command of the hour. own: models, their folders of images, and flags that declare their preprocessing."""
    with tempfile.TemporaryDirectory(prefix="first-hour-") as name:
        folder = Path(name)
        path = f"{folder / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"
        shutil.copytree(ROOT, folder / "quantseg", ignore=shutil.ignore_patterns(".*", "__pycache__", "reports"))
        yield recorded("python3 -m venv venv", folder, path, may_be_silent=True)
        yield recorded("pip install ./quantseg", folder, path, may_be_silent=True)
        yield recorded("quantseg --help", folder, path)
        yield recorded("quantseg demo", folder, path)
        for model, images, flags in own:
            (folder / model.parent.name).mkdir()
            shutil.copy(model, folder / model.parent.name / "model.onnx")
            (folder / model.parent.name / "images").symlink_to(images)
            yield from _own(folder / model.parent.name, flags, path)


def _own(folder: Path, flags: str, path: str) -> Iterator[Said]:
    for command in (
        f"quantseg check model.onnx --data images/ {flags} --output recipe.toml".replace("  ", " "),
        "quantseg quantize model.onnx --recipe recipe.toml --data images/ --dry-run",
        "quantseg quantize model.onnx --recipe recipe.toml --data images/",
        "quantseg report model.onnx model.int8.onnx --data images/",
    ):
        yield recorded(f"cd {shlex.quote(folder.name)} && {command}", folder.parent, path)


def page(said: Sequence[Said]) -> str:
    """The recording in Markdown."""
    machine = provenance()
    total = sum(one.seconds for one in said)
    parts = [
        "# The first hour",
        "README from the top in an empty virtual environment, then public models that nobody here trained or tuned on, "
        "with the images that belong to them. Each command runs in a pipe, with its time and its longest silence; long "
        f"output is cut. All of it took {total / 60:.1f} minutes.",
    ]
    for one in said:
        shown = [line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in one.lines]
        if len(shown) > MOST_LINES:
            cut = len(shown) - MOST_LINES
            shown = [*shown[: MOST_LINES // 2], f"[{cut} lines are left out here]", *shown[-MOST_LINES // 2 :]]
        what = f"{one.seconds:.1f} s, longest silence {one.silence:.1f} s"
        parts += [
            f"## `{one.command.replace('`', '')}`",
            what if one.code == 0 else f"{what}, exit code {one.code}",
        ]
        parts += ["```text\n" + "\n".join(line.replace("```", "'''") for line in shown) + "\n```"] * bool(shown)
    packages = ", ".join(f"{package} {version}" for package, version in machine.packages.items())
    parts.append(
        f"Made by `python -m tests.bench.first_hour` on {machine.processor}, {machine.cores} cores, {packages}."
    )
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Writes the recording."""
    parser = writing.parser(__doc__)
    parser.add_argument("own", nargs="*", metavar="MODEL=IMAGES[=FLAGS]")
    own = [(*one.split("=", 2), "")[:3] for one in parser.parse_args().own]
    said = []
    for one in hour([(Path(model).resolve(), Path(images).resolve(), flags) for model, images, flags in own]):
        print(f"{one.seconds:7.1f} s, silent {one.silence:5.1f} s, code {one.code}: {one.command}", flush=True)
        said.append(one)
    write_text(TARGET, page(said))
    sys.exit(any(one.code or (one.silence > SILENCE and not one.may_be_silent) for one in said))


if __name__ == "__main__":
    main()
