"""quantseg report without a model: reports on every reference model, compared with other quantizers."""

import functools
import os
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from quantseg.cli import console, stages
from quantseg.cli.making import check_report, make_report

if TYPE_CHECKING:
    from quantseg.cli.outputs import Outputs
    from quantseg.data import Address
    from quantseg.data.sources import Opener
    from quantseg.quantization.float_model import FloatModel, RecipeSource
    from quantseg.refinement.options import Options
    from quantseg.report import Report, Reporting

REFERENCE_IMAGES = 32
"""Default of --limit: images to calibrate a reference model on, and as many others to evaluate it on."""

ROOT_VARIABLE = "QUANTSEG_DATA"
DEFAULT_ROOT = Path("data")


@dataclass(frozen=True)
class Shown:
    """Options shared by all reports of one command.

    peer, openvino, web, baselines: as in Reporting. outputs: what the command may write.
    """

    output: Path
    rounds: int
    images: bool
    masks: bool
    peer: bool
    openvino: bool
    web: bool
    baselines: bool
    outputs: "Outputs"

    @property
    def reporting(self) -> "Reporting":
        """The options that all reports share."""
        from quantseg.report import Reporting

        return Reporting(
            rounds=self.rounds,
            images=self.images,
            peer=self.peer,
            openvino=self.openvino,
            web=self.web,
            baselines=self.baselines,
        )


def reference_reports(source: "RecipeSource", options: "Options", how: Shown, root: Path | None) -> "list[Report]":
    """Makes a report on every reference model, and the table of all. root: the folder of the data sets, by name.

    A model whose data set is missing is evaluated on synthetic blood smears, by agreement only, with a note in its
    report. Raises DataError where a given root is missing or holds none of the data sets.
    """
    from quantseg import api
    from quantseg.data import Address
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
    owned = {name: replace(how.outputs, reads=(path,)) for name, path in models.items()}
    for name, outputs in owned.items():
        check_report(how.output / name, outputs)
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        drawn = Path(folder)
        for part, seed in (("calib", CALIBRATION_SEED), ("val", VALIDATION_SEED)):
            write_cells(drawn / part, options.limit or REFERENCE_IMAGES, seed=seed, track=console.track)
        for place, (name, path) in enumerate(models.items(), 1):
            model = api.load(path, source, options=options)
            where = None if root is None else Address(root, follow_links=options.follow_links)
            parts = _parts(data_of(path), where, drawn, options.limit or REFERENCE_IMAGES, how)
            measured = [stages.PEER] * how.peer + [stages.NNCF] * how.openvino
            measured += stages.measuring(baselines=how.baselines)
            stages.plan(*stages.making(options), *measured, title=f"{name}, {place} of {len(models)}")
            given = api.calibrate(model, parts.calibrating, options=replace(options, limit=None))
            # Other data sets' images may not be redistributed, and masks of unrelated images are meaningless.
            told = replace(parts.reporting(model, how), images=how.images and parts.data == CELLS)
            made.append(make_report(how.output / name, given, options, parts.judged, told, owned[name]))
    if how.peer or how.openvino:
        _show(made)
    return made


def _root(given: Path | None, known: Sequence[str]) -> Path | None:
    """The folder of the data sets. Raises DataError for a given one that is missing or has none of them."""
    from quantseg.errors import DataError

    asked = given or (Path(os.environ[ROOT_VARIABLE]) if os.environ.get(ROOT_VARIABLE) else None)
    if asked is None:
        return DEFAULT_ROOT if DEFAULT_ROOT.is_dir() else None
    if not any((asked / name).is_dir() for name in known):
        fact = "holds none of the reference models' data sets" if asked.is_dir() else "no such folder"
        raise DataError(f"{asked}: {fact}; give one with {' or '.join(known)} as a subfolder, or name a model")
    return asked


@dataclass(frozen=True)
class _Parts:
    """The images to calibrate on and to evaluate (`judged`) on. data: the data set's name.

    data is None for images that the model was not made for; note: the caveat that the report then shows.
    """

    calibrating: "Opener"
    judged: "Opener"
    data: str | None
    note: str | None = None

    def reporting(self, model: "FloatModel", how: Shown) -> "Reporting":
        note = self.note
        if note is None and self.judged(model.recipe, model.inputs).load(0).mask is None:
            note = "without its masks: agreement only, no accuracy"
        return replace(how.reporting, dataset=self.data, note=note)


def _parts(data: str | None, root: "Address | None", drawn: Path, limit: int, how: Shown) -> _Parts:
    """The images of a data set, or synthetic blood smears (from the folder `drawn`) if it is missing."""
    from quantseg.data.sources import opener
    from quantseg.evaluation.reference_models import CELLS, DATA_SETS, open_parts

    if data is not None and data in DATA_SETS and root is not None and (root.place / data).is_dir():
        both = functools.partial(open_parts, root, data, limit=limit, masks=how.masks)
        return _Parts(lambda *model: both(*model)[0], lambda *model: both(*model)[1], data)
    calibrating, judged = opener(drawn / "calib"), opener(drawn / "val", masks=how.masks and data == CELLS)
    if data == CELLS:
        return _Parts(calibrating, judged, data)
    strange = "not its own images but drawn blood smears: agreement only, no accuracy"
    remedy = f"give --data with {data}/ in it" if data in DATA_SETS else "nothing tells which are its own"
    return _Parts(calibrating, judged, None, f"{strange}; {remedy}")


def _show(made: "Sequence[Report]") -> None:
    from quantseg.report import comparison_tables, comparison_verdict, remarks, tables

    summaries = [report.summary for report in made]
    for table in comparison_tables(summaries):
        console.say(f"\n{tables.terminal(table.headers, table.rows)}")
    said = [f"{s.name}: {remark}" for s in summaries for remark in remarks(s)]
    for text in (*said, comparison_verdict(summaries)):
        if text:
            console.say(f"\n{textwrap.fill(text, tables.WIDTH)}")
    console.say()
