"""Whether two commits write the same bytes: models of `quantseg quantize`, figures of `quantseg report` without times.

    python -m tests.bench.same_bytes OLD NEW [--only MODEL ...] [--quick] [--cache DIR] [--out FILE]

OLD and NEW are commits, or folders with a checkout, whose changes count too. Both run on this machine, side by side,
through their command lines alone, on the same drawn images, since float sums differ between processors. The exit code
is 1 where anything differs. --cache keeps what a commit wrote as OLD, for the next run.
"""

import argparse
import hashlib
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from quantseg.files import write_text
from quantseg.report import tables
from quantseg.runtimes.provenance import provenance
from tests.bench.checkouts import Side, check, checkout
from tests.bench.differences import difference
from tests.bench.same_bytes_jobs import CELLS, IMAGES, Job, jobs
from tests.bench.streets import write_streets

AT_ONCE = 2
FAILED = "failed.txt"
BUDGET_MISSED = 3
"""Exit code of a search that wrote its best model, which loses more than allowed."""


@dataclass(frozen=True)
class Compared:
    """A file of a job, and how it differs."""

    job: Job
    file: str
    difference: str | None


def run(job: Job, side: Side, *, images: Path, folder: Path, key: str) -> tuple[Path, float]:
    """The folder that holds what a job wrote, and the seconds it took; 0 where the cache had it."""
    kept = side.cache and side.cache / side.commit[:12] / key
    if kept and kept.is_dir():
        return kept, 0.0
    folder.mkdir(parents=True)
    data = f"cells:{IMAGES}" if job.model in CELLS else str(images)
    began = time.perf_counter()
    for command in job.commands:
        words = command.format(model=side.weights().get(job.model, "missing.onnx"), data=data)
        done = side.python("-m", "quantseg", *shlex.split(words), "--threads", "1", cwd=folder)
        if done.returncode not in (0, BUDGET_MISSED):
            write_text(folder / FAILED, done.stderr)
            return folder, time.perf_counter() - began
    if kept:
        unfinished = kept.with_name(f".{key}.{os.getpid()}")
        shutil.copytree(folder, unfinished)
        unfinished.rename(kept)
    return folder, time.perf_counter() - began


def run_all(wanted: Sequence[Job], sides: Sequence[Side], images: Path, folder: Path) -> list[list[Path]]:
    """For each job the folders of what each side wrote; two jobs run at a time, both sides of one job in turn."""
    place = [*_machine(), *(path.read_bytes() for path in sorted(images.rglob("*.png")))]
    made = [[folder] * len(sides) for _ in wanted]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {}
        for number, job in enumerate(wanted):
            key = _digest(*place, job.model, *job.commands)
            for index, side in enumerate(sides):
                into = folder / str(index) / str(number)
                running[pool.submit(run, job, side, images=images, folder=into, key=key)] = (number, index)
        for count, done in enumerate(as_completed(running), 1):
            number, index = running[done]
            made[number][index], seconds = done.result()
            job, how = wanted[number], f"{seconds:.1f} s" if seconds else "kept"
            print(f"[{count}/{len(running)}] {('old', 'new')[index]} {job.kind}: {job.name}: {how}", flush=True)
    return made


def compare(job: Job, folders: Sequence[Path]) -> Iterator[Compared]:
    """Each file of a job, on both sides. What failed is never equal."""
    sides = dict(zip(("old", "new"), folders, strict=True))
    for file in job.files:
        failed = [f"{name}: {_why(folder)}" for name, folder in sides.items() if not (folder / file).is_file()]
        yield Compared(job, file, "; ".join(failed) or difference(*(folder / file for folder in folders)))


def page(compared: Sequence[Compared], sides: Sequence[Side], remarks: Sequence[str]) -> str:
    """The result as Markdown."""
    machine = provenance()
    packages = ", ".join(f"{package} {version}" for package, version in machine.packages.items())
    sets = ", ".join(machine.instruction_sets or ())
    parts = [
        "# The same bytes from two commits",
        f"Old: `{sides[0]}`. New: `{sides[1]}`. Both run here, through `python -m quantseg` alone, on the same "
        f"{IMAGES} drawn images; ONNX files are compared byte for byte, reports and searches by all figures but times, "
        "shares of a profile, memory, provenance and prose.",
        verdict(compared),
        *remarks,
        tables.markdown(("what", "files", "equal"), counts(compared)),
        *([tables.markdown(DIFFERENT, different(compared))] if different(compared) else []),
        f"Made by `python -m tests.bench.same_bytes {shlex.join(sys.argv[1:])}` on {machine.processor} ({sets}), "
        f"{machine.cores} cores, Python {machine.python}, {packages}.",
    ]
    return "\n\n".join(parts) + "\n"


DIFFERENT = ("what", "file", "first difference, old → new")


def verdict(compared: Sequence[Compared]) -> str:
    """One sentence."""
    return f"{sum(not one.difference for one in compared)} of {len(compared)} files are equal."


def counts(compared: Sequence[Compared]) -> list[tables.Row]:
    """Kind of job, its files, those that are equal."""
    kinds = dict.fromkeys(one.job.kind for one in compared)
    of = {kind: [one.difference is None for one in compared if one.job.kind == kind] for kind in kinds}
    return [(kind, len(equal), sum(equal)) for kind, equal in of.items()]


def different(compared: Sequence[Compared]) -> list[tables.Row]:
    """The files that are not equal."""
    return [(f"{one.job.kind}: {one.job.name}", one.file, one.difference) for one in compared if one.difference]


def main() -> None:
    """Runs both sides, prints what differs, and writes the page where one is asked for."""
    asked = _asked()
    with tempfile.TemporaryDirectory(prefix="quantseg-") as name:
        folder = Path(name)
        sides = [checkout(word, folder / side) for side, word in (("old", asked.old), ("new", asked.new))]
        for side in sides:
            check(side)
        if asked.cache and not sides[0].changed:
            sides[0] = replace(sides[0], cache=asked.cache.absolute())
        models = tuple(sides[0].weights())
        wanted = [job for job in jobs(models, quick=asked.quick) if not asked.only or job.model in asked.only]
        if not wanted:
            sys.exit(f"--only {' '.join(asked.only)}: no such model; there are {', '.join(models)}")
        print(f"old {sides[0]}\nnew {sides[1]}\n{len(wanted)} jobs on each side", flush=True)
        write_streets(folder / "streets", IMAGES)
        made = run_all(wanted, sides, folder / "streets", folder / "made")
        compared = [one for job, folders in zip(wanted, made, strict=True) for one in compare(job, folders)]
        remarks = list(unlike_weights(sides))
    for one in different(compared):
        print("\n" + "\n  ".join(map(str, one)))
    print(
        "\n" + "\n\n".join([tables.terminal(("what", "files", "equal"), counts(compared)), *remarks, verdict(compared)])
    )
    if asked.out:
        write_text(asked.out, page(compared, sides, remarks))
    sys.exit(bool(different(compared)))


def unlike_weights(sides: Sequence[Side]) -> Iterator[str]:
    """A sentence for each reference model whose weights are not the same on both sides."""
    old, new = (side.weights() for side in sides)
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            yield f"{name}: only the {'old' if name in old else 'new'} side has it."
        elif old[name].read_bytes() != new[name].read_bytes():
            yield f"{name}: its weights are not the same on both sides."


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.same_bytes", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for side in ("old", "new"):
        parser.add_argument(side, metavar=side.upper(), help="a commit, or a folder with a checkout")
    parser.add_argument("--only", nargs="+", default=[], metavar="MODEL", help="reference models; default: all")
    parser.add_argument("--quick", action="store_true", help="QDQ at effort fast, and one model at effort balanced")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder to keep what OLD wrote")
    parser.add_argument("--out", type=Path, metavar="FILE", help="Markdown page to write")
    return parser.parse_args()


def _machine() -> list[str]:
    """What else may change the bytes: processor and packages."""
    here = provenance()
    return [here.processor, here.python, *(f"{name} {version}" for name, version in sorted(here.packages.items()))]


def _why(folder: Path) -> str:
    """The last line of what a failed command said."""
    said = (folder / FAILED).read_text(encoding="utf-8").split("\n") if (folder / FAILED).is_file() else []
    return next((line for line in reversed(said) if line.strip()), "wrote no such file")


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main()
