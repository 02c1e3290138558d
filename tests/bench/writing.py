"""What benchmarks share: how they are asked, and where they leave their figures, as JSON and Markdown."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantseg.files import write_json, write_text
from quantseg.report import tables
from quantseg.runtimes.provenance import provenance

FOLDER = Path(__file__).parents[2] / "reports" / "benchmarks"
SHARED = Path(__file__).parents[3] / "shared"


@dataclass(frozen=True)
class Page:
    """A report as it is read.

    method: what was measured and how, a paragraph. sections: heading → headers and rows of a table. packages:
    distributions whose versions matter beside the usual ones. module: the benchmark's, where the files have another
    name. notes: paragraphs of Markdown behind the tables.
    """

    title: str
    method: str
    sections: Mapping[str, tuple[Sequence[str], Sequence[tables.Row]]]
    packages: Sequence[str] = ()
    module: str | None = None
    notes: Sequence[str] = ()


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The command line of a benchmark. doc: its module's docstring, which is the help."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def write(name: str, page: Page, figures: Mapping[str, Any]) -> None:
    """Writes reports/benchmarks/NAME.json and NAME.md, and prints the tables."""
    machine = provenance(*page.packages)
    packages = ", ".join(f"{package} {version}" for package, version in machine.packages.items())
    parts = [f"# {page.title}", page.method]
    for heading, (headers, rows) in page.sections.items():
        parts += [f"## {heading}", tables.markdown(headers, rows, whole=True)]
        print(f"\n{heading}\n{tables.terminal(headers, rows)}", flush=True)
    parts += page.notes
    command = " ".join(["python -m", f"tests.bench.{page.module or name}", *sys.argv[1:]])
    sets = ", ".join(machine.instruction_sets or ())
    parts.append(f"Made by `{command}` on {machine.processor} ({sets}), {machine.cores} cores, {packages}.")
    write_text(FOLDER / f"{name}.md", "\n\n".join(parts) + "\n")
    write_json(FOLDER / f"{name}.json", {"command": command, "machine": machine.to_json(), **figures})
