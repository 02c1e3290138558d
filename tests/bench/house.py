"""The shape of the code before and after, in numbers: issue 16's table, each counted from a checkout.

    python -m tests.bench.house OLD NEW                  # the table, to reports/benchmarks/house.md
    python -m tests.bench.house --only NAME [FOLDER]     # one number, and what was counted

OLD, NEW and FOLDER are commits, or folders that hold a checkout. What was tried on a branch and thrown away is read
from tests/bench/trials.json.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantseg.report import tables
from tests.bench import source_counts as source
from tests.bench import writing

ROOT = Path(__file__).parents[2]
TRIALS = Path(__file__).with_name("trials.json")
PROCESSES = 5


@dataclass(frozen=True)
class Number:
    """A number of the table: what it counts, its goal, and how it is counted in a checkout, with what was found."""

    title: str
    goal: float | None
    count: Callable[[Path], tuple[float, Sequence[str]]]
    unit: str = ""

    def shown(self, value: float) -> str:
        """The value as the table has it."""
        return f"{value:.3g} {self.unit}" if self.unit else f"{value:.0f}"


def listed(find: Callable[[Path], list[str]]) -> Callable[[Path], tuple[float, list[str]]]:
    """Counts what is found."""

    def count(checkout: Path) -> tuple[float, list[str]]:
        found = find(checkout)
        return len(found), found

    return count


def most(find: Callable[[Path], list[tuple[int, str]]]) -> Callable[[Path], tuple[float, list[str]]]:
    """Takes the largest."""

    def count(checkout: Path) -> tuple[float, list[str]]:
        found = find(checkout)
        return found[0][0], [f"{number} {name}" for number, name in found[:20]]

    return count


def timed(*words: str, printed: bool = False) -> Callable[[Path], tuple[float, list[str]]]:
    """Median of the seconds that Python takes for the words in fresh processes, or of those that it prints."""

    def count(checkout: Path) -> tuple[float, list[str]]:
        environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
        command = [sys.executable, *words]
        seconds = []
        for _ in range(PROCESSES + 1):
            before = time.perf_counter()
            done = subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True)
            seconds.append(float(done.stdout) if printed else time.perf_counter() - before)
        seconds = seconds[1:]  # the first one compiles
        return statistics.median(seconds), [f"{one:.3f} s" for one in seconds]

    return count


IMPORT = "import time; before = time.perf_counter(); import quantseg; print(time.perf_counter() - before)"
NUMBERS = {
    "entries": Number("entries in quantseg/, `__init__.py` and py.typed among them", 19, listed(source.entries)),
    "plan": Number("files that call plan() outside quantization/", 0, listed(source.plan_callers)),
    "values": Number(
        "values for model + ranges + settings: dataclasses that functions are given and that hold two of these, or "
        "choices for single nodes; parts of one that holds all are counted with it",
        1,
        listed(source.model_values),
    ),
    "parameters": Number("most parameters of a library function", 6, most(source.parameters)),
    "command": Number("longest command body, lines", 40, most(source.command_bodies)),
    "pairs": Number("room-to-room import pairs, by what runs when a module is loaded", 75, listed(source.import_pairs)),
    "all-pairs": Number(
        "… also by imports within functions and for types only",
        None,
        listed(lambda checkout: source.import_pairs(checkout, on_load=False)),
    ),
    "classes": Number("class names that more than one module defines", 3, listed(source.ambiguous_classes)),
    "example-lines": Number("lines of README's Python example", 4, listed(source.example_lines)),
    "example-imports": Number("imports of README's Python example", 1, listed(source.example_imports)),
    "help": Number("`quantseg --help`, median of five processes", 0.3, timed("-m", "quantseg", "--help"), "s"),
    "import": Number("`import quantseg`, median of five processes", 0.1, timed("-c", IMPORT, printed=True), "s"),
}


def opened(word: str, folder: Path) -> tuple[Path, str]:
    """The checkout that a word means, a commit's put into `folder`, and the name of its commit."""
    place = Path(word)
    if (place / source.PACKAGE).is_dir():
        changed = _git(place, "status", "--porcelain", "--", source.PACKAGE, "README.md").strip()
        return place, _git(place, "rev-parse", "--short", "HEAD").decode().strip() + " + changes" * bool(changed)
    with tarfile.open(fileobj=io.BytesIO(_git(ROOT, "archive", word))) as archive:
        archive.extractall(folder, filter="data")
    return folder, _git(ROOT, "rev-parse", "--short", f"{word}^{{commit}}").decode().strip()


def _git(folder: Path, *words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"git {words[0]}: {done.stderr.decode().strip()}")
    return done.stdout


def only(name: str, word: str) -> None:
    """Prints one number, and what was counted."""
    with tempfile.TemporaryDirectory() as folder:
        checkout, commit = opened(word, Path(folder))
        value, found = NUMBERS[name].count(checkout)
    print(*found, sep="\n")
    print(f"{NUMBERS[name].title}, {commit}: {NUMBERS[name].shown(value)}")


def trials() -> list[tables.Row]:
    """A row for each change that was tried on a branch: what, how many files, which, and what stood in the way."""
    rows: list[tables.Row] = []
    for trial in json.loads(TRIALS.read_text(encoding="utf-8")):
        files = trial["files"]
        rows.append([trial["change"], len(files), ", ".join(f"`{file}`" for file in files), trial["in_the_way"]])
    return rows


def compare(old: str, new: str) -> None:
    """Writes the table of both checkouts."""
    rows: list[tables.Row] = []
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        (before, old_commit), (after, new_commit) = opened(old, Path(one)), opened(new, Path(other))
        for name, number in NUMBERS.items():
            was, now = number.count(before)[0], number.count(after)[0]
            goal = "–" if number.goal is None else f"≤ {number.goal:g}{' ' * bool(number.unit)}{number.unit}"
            counted = f"`python -m tests.bench.house --only {name}`"
            rows.append([number.title, number.shown(was), number.shown(now), goal, counted])
            figures.append({"name": name, "old": was, "new": now, "goal": number.goal})
    headings = ["number", old_commit, new_commit, "goal", "counted by"]
    sections = {f"From {old_commit} to {new_commit}": (headings, rows)}
    tried = trials()
    if tried:
        sections["Trial changes"] = (["change", "files", "which", "what stood in the way"], tried)
    method = (
        f"Numbers of the source alone, by its syntax trees (tests/bench/source_counts.py), and two times. Old: "
        f"{old_commit}; new: {new_commit}. Whether both write the same models and reports is in "
        "[same_bytes.md](same_bytes.md). Trial changes were made on a branch until the tests passed, and thrown away."
    )
    figures_too = {"old": old_commit, "new": new_commit, "numbers": figures, "trials": len(tried)}
    writing.write("house", "The house in numbers", method, sections, figures_too)


def main() -> None:
    """Writes the table, or prints one number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=NUMBERS, metavar="NAME", help=", ".join(NUMBERS))
    parser.add_argument("checkouts", nargs="*", help="OLD and NEW, or with --only one, this folder if none is named")
    given = parser.parse_args()
    if given.only and len(given.checkouts) <= 1:
        only(given.only, *(given.checkouts or ["."]))
    elif not given.only and len(given.checkouts) == 2:
        compare(*given.checkouts)
    else:
        parser.error("give OLD and NEW, or --only NAME and at most one checkout")


if __name__ == "__main__":
    main()
