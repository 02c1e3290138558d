"""The command `python -m tests.fuzz`; see the package's docstring."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.campaign import Bounds, Tally, fuzz
from tests.fuzz.confinement import Confinement
from tests.fuzz.table import markdown, to_json
from tests.fuzz.target import chance
from tests.fuzz.targets import TARGETS

_ALL = 1 << 40


def main() -> int:
    """Fuzzes as the arguments say; 1 where something was found."""
    wanted = _parser().parse_args()
    targets = wanted.target or list(TARGETS)
    one = wanted.seed is not None and wanted.inputs is wanted.seconds is wanted.minutes is None
    if one or wanted.keep is not None:
        return _again(targets, wanted.seed or 0, wanted.keep)
    seconds = 60 * wanted.minutes if wanted.minutes is not None else wanted.seconds
    inputs = wanted.inputs or _ALL
    if seconds is None:
        seconds = 20.0 if wanted.inputs is None else 86400.0
    tallies: list[Tally] = []
    for tally in _campaign(targets, Bounds(inputs, seconds, wanted.seed or 0), wanted.jobs):
        tallies.append(tally)
        if wanted.json is not None:  # after each target, as a campaign may take hours
            wanted.json.write_text(json.dumps(to_json(tallies), indent=1))
    print(markdown(tallies))
    return int(any(tally.findings for tally in tallies))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Odd files for every reader of the tool.")
    parser.add_argument(
        "--target", action="append", choices=list(TARGETS), help="may be given for several; default: all"
    )
    parser.add_argument("--seed", type=int, help="the first seed; with neither inputs nor a time, the only one")
    parser.add_argument("--inputs", type=int, help="of each target")
    parser.add_argument("--seconds", type=float, help="for each target, its start included")
    parser.add_argument("--minutes", type=float, help="for each target")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="targets at a time")
    parser.add_argument("--json", type=Path, help="write counts and findings here")
    parser.add_argument("--keep", type=Path, help="copy the input of --seed to this folder, and try nothing")
    return parser


def _campaign(targets: list[str], bounds: Bounds, jobs: int) -> Iterator[Tally]:
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda target: fuzz(target, bounds), targets)


def _again(targets: list[str], seed: int, keep: Path | None) -> int:
    """One input of each target once more: how it ends, with the traceback. keep: where it is copied instead."""
    found = 0
    for target in targets:
        if keep is not None:
            _keep(target, seed, keep)
            continue
        tally = fuzz(target, Bounds(1, 600.0, seed))
        found += len(tally.findings)
        if (one := tally.last) is not None:
            print("\n".join(text for text in (f"{target}, seed {seed}: {one.kind}", one.text, one.details) if text))
    return int(found > 0)


def _keep(target: str, seed: int, keep: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        place = Confinement(Path(folder))
        TARGETS[target].make(chance(target, seed), place.folder)
        shutil.copytree(place.folder, keep, symlinks=True, dirs_exist_ok=True)


if __name__ == "__main__":
    sys.exit(main())
