"""The demo's model and another one on every processor of the bench.

    python -m tests.processors                    fetch what is missing, compare, say where integers differ
    python -m tests.processors --fetch            fetch only
    python -m tests.processors --site avx2-native the folder to put into PYTHONPATH for kernels without VNNI

Ends with 1 where a model whose sums are exact makes other integers than on this machine. A processor that cannot be
had is named in a line, with the reason, and left out.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from quantseg import api
from quantseg.data.drawn_cells import write_cells
from quantseg.data.sources import opener
from quantseg.evaluation.reference_models import CALIBRATION_SEED, VALIDATION_SEED, reference_models
from quantseg.refinement import levels
from quantseg.refinement.options import Options
from quantseg.report import tables
from tests.processors import concealed
from tests.processors.comparing import (
    Row,
    Subject,
    compared,
    exact_processor,
    given_equal_inputs,
    references,
    saturates,
)
from tests.processors.packages import UnavailableError
from tests.processors.running import ready
from tests.processors.table import PROCESSORS, Way

CALIBRATION, IMAGES = 24, 1
MODELS = {"cells_unet": levels.BALANCED, "mobile": levels.FAST}
"""The demo's model as the demo makes it, and one with depthwise kernels, QLinearAdd and Resize."""
NODES = 4
"""So many nodes are named in a line."""


def quantised(name: str, effort: str, folder: Path) -> Subject:
    """A reference model made int8 on drawn blood smears, whatever it was trained on: its integers are looked at."""
    model = api.load(reference_models()[name])
    size = model.recipe.input.size
    assert size is not None
    for part, count, seed in (("calib", CALIBRATION, CALIBRATION_SEED), ("val", IMAGES, VALIDATION_SEED)):
        write_cells(folder / name / part, count, seed=seed, size=size)
    options = Options(effort=effort)
    made = api.quantize(model, folder / name / "calib", options=options)
    images = opener(folder / name / "val")(model.recipe, model.input)
    return Subject(name, made.model, images, model.recipe, (model.input,))


def had(names: Sequence[str]) -> list[str]:
    """Those of the processors that are to be had, what they need fetched; a line for each other."""
    reasons = {name: ready(name) for name in names}
    for reason in filter(None, reasons.values()):
        print(f"skipped: {reason}", flush=True)
    return [name for name, reason in reasons.items() if reason is None]


def checked(names: Sequence[str]) -> bool:
    """Compares both models on these processors, prints it, and tells whether all is as it must be."""
    wrong = [
        name
        for name in names
        if PROCESSORS[name].saturates is not None and saturates(name) != PROCESSORS[name].saturates
    ]
    for name in wrong:
        print(f"{name}: two products of u8·s8 do not add as the table says")
    with tempfile.TemporaryDirectory() as folder:
        subjects = [quantised(name, effort, Path(folder)) for name, effort in MODELS.items()]
        rows, seconds = compared(subjects, names)
        shown = [_shown(row, seconds[row.processor]) for row in rows]
        headers = ("model", "processor", "kernels", "masks agree", "differ", "of integers", "after float", "s")
        print(f"\nBeside exact sums ({exact_processor()}), {IMAGES} image of blood cells for both models")
        print(tables.terminal(headers, shown), flush=True)
        right = [_explained(subject, rows) for subject in subjects]
        return all(right) and not wrong


def _explained(subject: Subject, rows: Sequence[Row]) -> bool:
    """Says in which nodes integers differ first, and tells whether none does."""
    where = [row.processor for row in rows if row.model == subject.name and row.exact.differ]
    alone = given_equal_inputs(subject, references([subject])[0][0], where) if where else {}
    for nodes in dict.fromkeys(count.nodes for count in alone.values()):
        names = ", ".join(name for name, count in alone.items() if count.nodes == nodes)
        first = ", ".join(f"{node.name} ({node.op_type}) {node.differ:,}" for node in nodes[:NODES])
        more = f" and {len(nodes) - NODES} more" if len(nodes) > NODES else ""
        print(f"{subject.name} on {names}: given equal integers, {len(nodes)} nodes differ: {first}{more}", flush=True)
    return not where


def _shown(row: Row, seconds: float) -> tables.Row:
    return (
        row.model, row.processor, PROCESSORS[row.processor].kernels, tables.percent(row.agreement),
        f"{row.exact.differ:,}", f"{row.exact.values:,}", f"{row.borders.differ:,}", f"{seconds:.0f}",
    )  # fmt: skip


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PROCESSORS), help="processors, with commas")
    parser.add_argument("--fetch", action="store_true", help="fetch what they need, run nothing")
    parser.add_argument("--site", choices=[p.name for p in PROCESSORS.values() if p.way is Way.CONCEALED])
    given = parser.parse_args()
    names = given.only.split(",")
    unknown = [name for name in names if name not in PROCESSORS]
    if unknown:
        parser.error(f"no such processor: {unknown[0]}; choose {', '.join(PROCESSORS)}")
    if given.site:
        try:
            print(concealed.site(PROCESSORS[given.site]))
        except UnavailableError as error:
            parser.error(f"{given.site}: {error}")
        return 0
    start = time.monotonic()
    found = had(names)
    print(f"to be had: {', '.join(found) or 'none'}; {time.monotonic() - start:.0f} s", flush=True)
    if given.fetch or not found:
        return 0
    try:
        right = checked(found)
    except UnavailableError as error:
        print(f"skipped: {error}")
        return 0
    print(f"{'as it must be' if right else 'NOT as it must be'}; {time.monotonic() - start:.0f} s in all")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
