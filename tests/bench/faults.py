"""Faults: fuzzed inputs of every kind of file, and commands that are ended at random moments.

    python -m tests.bench.faults --seconds 75 --kills 100 --seed 0

Writes reports/benchmarks/faults.md; exit code 1 if anything was found.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from quantseg.report import tables
from tests.bench import kills, writing
from tests.bench.fault_cases import CASES
from tests.fuzz.campaign import Bounds, Tally, fuzz
from tests.fuzz.table import to_json
from tests.fuzz.targets import TARGETS

AT_ONCE = 2
FUZZED = ("kind of file", "inputs", "accepted", "refused", "findings", "slowest, s", "memory, MiB")
METHOD = """Each input is a small valid file or folder made in code, then changed by a seeded mutator on the level of
its format (protobuf messages, JSON, TOML, headers, archives) or of its bytes. It is read by the function that the
command calls, a model through to the written int8 model, in a process that is watched. A finding is anything but
success or one printable line: another exception, a crash, more than 60 s, more than 2 GB, a file opened or written
outside the folder. Kills go to `calibrate` (two workers), `quantize` (balanced) and `report` after a random time of
processor work; then the same command runs again, and what it leaves is compared with an undisturbed run."""


def fuzzed(seconds: float, seed: int) -> list[Tally]:
    """The campaigns of all kinds, each of the same time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda target: fuzz(target, Bounds(1 << 40, seconds, seed)), TARGETS))


def row(tally: Tally) -> tables.Row:
    """One line of the table."""
    reads = TARGETS[tally.target].reads
    return (
        f"{tally.target}: {reads}", f"{tally.inputs:,}", f"{tally.accepted:,}", f"{tally.refused:,}",
        len(tally.findings), f"{tally.slowest[0]:.1f}", f"{tally.largest[0] / (1 << 20):.0f}",
    )  # fmt: skip


def main() -> None:
    """Writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=75.0, help="of fuzzing, for each kind of file")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    tallies = fuzzed(asked.seconds, asked.seed)
    ended = kills.kills(asked.kills, asked.seed, lambda kill: print(kill.victim, kill.signal.name, flush=True))
    total = f"All kinds: {sum(tally.inputs for tally in tallies):,} inputs."
    page = writing.Page(
        "Faults",
        METHOD.replace("\n", " "),
        {
            "Fuzzed inputs": (FUZZED, [row(tally) for tally in tallies]),
            "Kills": (kills.HEADERS, kills.rows(ended)),
            "Cases": (("what people brought", "what is right", "held by"), CASES),
        },
        notes=[total, *(f"- {one.target}: {text}" for one in tallies for text in one.kinds)],
    )
    killed = [dict(zip(kills.HEADERS, one, strict=True)) for one in kills.rows(ended)]
    figures = {"fuzzed": to_json(tallies), "kills": killed}
    writing.write("faults", page, figures)
    sys.exit(any(tally.findings for tally in tallies) or not all(kill.is_clean for kill in ended))


if __name__ == "__main__":
    main()
