"""Where a benchmark leaves its figures: one JSON and one Markdown file under reports/benchmarks/."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantseg.files import write_json, write_text
from quantseg.report import tables
from quantseg.runtimes.provenance import provenance

FOLDER = Path(__file__).parents[2] / "reports" / "benchmarks"
SHARED = Path(__file__).parents[3] / "shared"


def write(
    name: str,
    title: str,
    method: str,
    sections: Mapping[str, tuple[Sequence[str], Sequence[tables.Row]]],
    figures: Mapping[str, Any],
    *packages_too: str,
    module: str | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Writes reports/benchmarks/NAME.json and NAME.md, and prints the tables.

    packages_too: distributions whose versions matter beside the usual ones. module: the benchmark's, where not NAME.
    notes: paragraphs of Markdown behind the tables.
    """
    machine = provenance(*packages_too)
    packages = ", ".join(f"{package} {version}" for package, version in machine.packages.items())
    parts = [f"# {title}", method]
    for heading, (headers, rows) in sections.items():
        parts += [f"## {heading}", tables.markdown(headers, rows)]
        print(f"\n{heading}\n{tables.terminal(headers, rows)}", flush=True)
    parts += notes
    command = " ".join(["python -m", f"tests.bench.{module or name}", *sys.argv[1:]])
    sets = ", ".join(machine.instruction_sets or ())
    parts.append(f"Made by `{command}` on {machine.processor} ({sets}), {machine.cores} cores, {packages}.")
    write_text(FOLDER / f"{name}.md", "\n\n".join(parts) + "\n")
    write_json(FOLDER / f"{name}.json", {"command": command, "machine": machine.to_json(), **figures})
