"""What a campaign found: a Markdown table, the findings below it, and values for JSON."""

from collections.abc import Sequence
from typing import Any

from tests.fuzz.campaign import Tally
from tests.fuzz.targets import TARGETS

_HEADERS = ("target", "reads", "inputs", "accepted", "refused", "findings", "slowest", "largest memory")


def markdown(tallies: Sequence[Tally]) -> str:
    """The table, and a line for each kind of finding with how often it came and the first seed of it."""
    rows = [_HEADERS, tuple("---" for _ in _HEADERS), *map(_row, tallies)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    for tally in tallies:
        for text, found in tally.kinds.items():
            lines += ["", f"- {tally.target}, {len(found)} times, first with --seed {found[0].seed}: {text}"]
    return "\n".join(lines)


def to_json(tallies: Sequence[Tally]) -> list[dict[str, Any]]:
    """For each target the counts, and every finding with its seed and traceback."""
    return [
        {
            "target": one.target,
            "inputs": one.inputs,
            "accepted": one.accepted,
            "refused": one.refused,
            "slowest": {"seconds": one.slowest[0], "seed": one.slowest[1]},
            "largest": {"bytes": one.largest[0], "seed": one.largest[1]},
            "findings": [found.to_json() for found in one.findings],
        }
        for one in tallies
    ]


def _row(tally: Tally) -> tuple[str, ...]:
    return (
        tally.target, TARGETS[tally.target].reads if tally.target in TARGETS else "", f"{tally.inputs:,}",
        f"{tally.accepted:,}", f"{tally.refused:,}", f"{len(tally.findings)}", f"{tally.slowest[0]:.1f} s",
        f"{tally.largest[0] / (1 << 20):.0f} MiB",
    )  # fmt: skip
