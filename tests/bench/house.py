"""The shape of the code before and after, in numbers: issue 16's table, each counted from a checkout.

    python -m tests.bench.house OLD NEW                  # the table, to reports/benchmarks/house.md
    python -m tests.bench.house --only NAME [FOLDER]     # one number, and what was counted

OLD, NEW and FOLDER are commits, or folders that hold a checkout. What was tried on a branch and thrown away is read
from tests/bench/trials.json.
"""

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
    """A number of the table: its name there, its goal, and how it is counted in a checkout, with what was found.

    rule: what is counted, where the name does not say all.
    """

    title: str
    goal: float
    count: Callable[[Path], tuple[float, Sequence[str]]]
    rule: str = ""
    unit: str = ""

    def shown(self, value: float) -> str:
        """The value as the table has it."""
        return f"{value:.3f} {self.unit}" if self.unit else f"{value:.0f}"


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
TIMED = f"Median of {PROCESSES} fresh processes, after one that compiles."
NUMBERS = {
    "entries": Number(
        "entries in quantseg/", 19, listed(source.entries), "Files and folders, `__init__.py` and py.typed among them."
    ),
    "plan": Number("files outside quantization/ that call plan()", 0, listed(source.plan_callers)),
    "values": Number(
        "values for model + ranges + settings",
        1,
        listed(source.model_values),
        "Dataclasses that functions are given and that hold two of these, or choices for single nodes. Parts of a "
        "value that holds them all count with it.",
    ),
    "parameters": Number(
        "parameters of a library function", 6, most(source.parameters), "The most; without self, cls and the commands."
    ),
    "command": Number(
        "lines of a command's body",
        40,
        most(source.command_bodies),
        "The most; without decorators, signature and docstring.",
    ),
    "pairs": Number(
        "room-to-room import pairs",
        84,
        listed(source.import_pairs),
        "Entries of quantseg/ of which one imports the other when it is loaded; those to `limits` are six of them. "
        "75 before the room shipping came, which reads a model, its runtime and what reports say; "
        "and 83 before .tflite files, whose bytes are read and written in files.",
    ),
    "classes": Number(
        "class names with two meanings", 3, listed(source.ambiguous_classes), "Those that two modules or more define."
    ),
    "example-lines": Number(
        "lines of README's Python example", 4, listed(source.example_lines), "Of the first that quantises."
    ),
    "example-imports": Number("imports of README's Python example", 1, listed(source.example_imports)),
    "help": Number("quantseg --help", 0.3, timed("-m", "quantseg", "--help"), TIMED, "s"),
    "import": Number("import quantseg", 0.1, timed("-c", IMPORT, printed=True), f"{TIMED} The statement alone.", "s"),
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


def rules() -> str:
    """How each number is counted, a line each."""
    lines = ["## How they are counted"]
    for name, number in NUMBERS.items():
        rule = f" {number.rule}" if number.rule else ""
        lines.append(f"- {number.title}:{rule} `python -m tests.bench.house --only {name}`")
    return "\n".join([lines[0], "", *lines[1:]])


def trials() -> str:
    """What was tried on a branch and thrown away: how many files, which, and what stood in the way."""
    lines = []
    for trial in json.loads(TRIALS.read_text(encoding="utf-8")):
        files = ", ".join(f"`{file}`" for file in trial["files"])
        number = f"{len(trial['files'])} file{'s' * (len(trial['files']) != 1)}"
        lines.append(f"- {trial['change']}: {number} ({files}). In the way: {trial['in_the_way']}.")
    return "\n".join(["## Trial changes", "", *(lines or ["None was tried yet."])])


def compare(old: str, new: str) -> None:
    """Writes the table of both checkouts."""
    rows: list[tables.Row] = []
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        (before, old_commit), (after, new_commit) = opened(old, Path(one)), opened(new, Path(other))
        for name, number in NUMBERS.items():
            was, now = number.count(before)[0], number.count(after)[0]
            goal = f"≤ {number.goal:g} {number.unit}".strip()
            rows.append([number.title, number.shown(was), number.shown(now), goal])
            figures.append({"name": name, "old": was, "new": now, "goal": number.goal})
        everywhere = [len(source.import_pairs(tree, on_load=False)) for tree in (before, after)]
    sections = {"Before and after": (["number", old_commit, new_commit, "goal"], rows)}
    method = (
        f"From {old_commit} to {new_commit}: counted from the source alone, by its syntax trees "
        "(tests/bench/source_counts.py), and two times. Whether both commits write the same models and reports is in "
        "[same_bytes.md](same_bytes.md). Trial changes were made on a branch until the tests passed, and thrown away. "
        f"With imports within functions and for types only, pairs of rooms are {everywhere[0]} and {everywhere[1]}."
    )
    both = {"old": old_commit, "new": new_commit, "numbers": figures, "pairs_by_any_import": everywhere}
    page = writing.Page("The house in numbers", method, sections, notes=[rules(), trials()])
    writing.write("house", page, both)


def main() -> None:
    """Writes the table, or prints one number."""
    parser = writing.parser(__doc__)
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
