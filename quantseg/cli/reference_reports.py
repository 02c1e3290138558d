"""quantseg report without a model: every reference model on its own pictures, beside onnxruntime's quantizer."""

import os
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from quantseg.cli import console
from quantseg.cli.making import Judged, Wanted, make_report

if TYPE_CHECKING:
    from quantseg.data import Dataset
    from quantseg.pipeline import FloatModel, RecipeSource
    from quantseg.progress import Track
    from quantseg.report import Report

T = TypeVar("T")

REFERENCE_IMAGES = 32
"""Pictures to calibrate a reference model on, and as many others to judge it; --limit asks for another number."""

ROOT_VARIABLE = "QUANTSEG_DATA"
DEFAULT_ROOT = Path("data")


def reference_reports(source: "RecipeSource", wanted: Wanted, root: Path | None) -> "list[Report]":
    """A report on every reference model, and at the end the table of all; root: holds data sets by name.

    A model whose pictures are not there is judged on drawn blood smears, by agreement only, and says so.
    Raises DataError where a root that was asked for is missing or holds none of the data sets.
    """
    from quantseg import pipeline
    from quantseg.data.drawn_cells import write_cells
    from quantseg.evaluation.reference_models import (
        CALIBRATION_SEED,
        CELLS,
        DATA_SETS,
        VALIDATION_SEED,
        data_of,
        reference_models,
    )

    models, root = reference_models(), _root(root, tuple(DATA_SETS))
    made: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        drawn = Path(folder)
        for part, seed in (("calib", CALIBRATION_SEED), ("val", VALIDATION_SEED)):
            write_cells(drawn / part, wanted.options.limit or REFERENCE_IMAGES, seed=seed, track=console.track)
        for place, (name, path) in enumerate(models.items(), 1):
            track = _naming(f"{name} ({place} of {len(models)})")
            model = pipeline.read_float_model(path, source)
            calibrating, judged = _pictures(model, data_of(path), root, drawn, wanted)
            calibration = pipeline.calibrate(model, calibrating, wanted.options, track=track)
            # Other pictures may not be passed on with a report, and masks of strange ones say nothing.
            shown = replace(wanted, pictures=wanted.pictures and judged.data == CELLS)
            made.append(make_report(name, model, judged, calibration, shown, calibrating=calibrating, track=track))
    if wanted.peer:
        _show(made)
    return made


def _root(given: Path | None, known: Sequence[str]) -> Path | None:
    """The folder of the data sets. Raises DataError for one that was asked for in vain."""
    from quantseg.errors import DataError

    asked = given or (Path(os.environ[ROOT_VARIABLE]) if os.environ.get(ROOT_VARIABLE) else None)
    if asked is None:
        return DEFAULT_ROOT if DEFAULT_ROOT.is_dir() else None
    if not any((asked / name).is_dir() for name in known):
        fact = "holds none of the reference models' data sets" if asked.is_dir() else "no such folder"
        raise DataError(f"{asked}: {fact}; give one with {' or '.join(known)} as a subfolder, or name a model")
    return asked


def _pictures(
    model: "FloatModel", data: str | None, root: Path | None, drawn: Path, wanted: Wanted
) -> "tuple[Dataset, Judged]":
    """What to calibrate on and what to judge on, with what must be said of it."""
    from quantseg import pipeline
    from quantseg.evaluation.reference_models import CELLS, DATA_SETS, open_parts

    limit, masks = wanted.options.limit or REFERENCE_IMAGES, wanted.masks
    if data is not None and data in DATA_SETS and root is not None and (root / data).is_dir():
        calibrating, judging = open_parts(root, data, model.recipe, model.input, limit=limit, masks=masks)
    else:
        calibrating = pipeline.open_data(drawn / "calib", model)
        judging = pipeline.open_data(drawn / "val", model, masks=masks and data == CELLS)
        if data != CELLS:
            strange = "not its own pictures but drawn blood smears: agreement only, no accuracy"
            remedy = f"give --data with {data}/ in it" if data in DATA_SETS else "nothing tells which are its own"
            return calibrating, Judged(judging, note=f"{strange}; {remedy}")
    unlabelled = judging.load(0).mask is None
    return calibrating, Judged(judging, data, "without its masks: agreement only, no accuracy" if unlabelled else None)


def _naming(name: str) -> "Track":
    def track(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        return console.track(items, total=total, what=f"{name}: {what}")

    return track


def _show(made: "Sequence[Report]") -> None:
    from quantseg.report import contest_tables, contest_verdict, remarks, tables

    summaries = [report.summary for report in made]
    for table in contest_tables(summaries):
        console.say(f"\n{tables.terminal(table.headers, table.rows)}")
    said = [f"{s.name}: {remark}" for s in summaries for remark in remarks(s)]
    for text in (*said, contest_verdict(summaries)):
        if text:
            console.say(f"\n{textwrap.fill(text, tables.WIDTH)}")
    console.say()
