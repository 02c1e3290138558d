"""Sections of a report on a model that was not made here: what its file says, and what no file says."""

from collections.abc import Mapping

from quantseg.report.content import Report
from quantseg.report.document import Section, Table
from quantseg.report.tables import NOTHING, Row, real

_GRIDS_SHOWN = 12


def int8_file(report: Report) -> Section | None:
    """How the file holds integers, and the coarsest grids of activations."""
    file = report.file
    if file is None:
        return None
    rows: tuple[Row, ...] = (
        ("made by", file.maker or NOTHING),
        ("integers", file.style),
        ("activations, tensors of each type", _counts(file.activations)),
        ("weights, tensors of each type", _counts(file.weights)),
        ("weights with one scale for each channel", str(file.per_channel)),
        ("operators", _counts(file.operators)),
    )
    coarsest = sorted(file.grids, key=lambda grid: (-float(grid.params.scale), grid.tensor))[:_GRIDS_SHOWN]
    grids = tuple(
        (
            grid.tensor,
            grid.params.qtype.name,
            real(float(grid.params.scale)),
            str(int(grid.params.zero_point)),
            f"{real(grid.params.representable.minimum)} … {real(grid.params.representable.maximum)}",
        )
        for grid in coarsest
    )
    tables = [Table("What the file says", ("what", "value"), rows)]
    if grids:
        caption = f"Grids of activations, the coarsest {len(grids)} of {len(file.grids)}"
        tables.append(Table(caption, ("tensor", "type", "scale", "zero-point", "covers"), grids))
    return Section("The int8 file", "Read from the nodes of the file, whichever tool wrote it.", tables)


def left_out(report: Report) -> Section | None:
    """The sections that such a report lacks, each with the reason."""
    items = [f"{title}: {reason}" for title, reason in report.left_out.items()]
    return Section("What is left out", "", items=items) if items else None


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or NOTHING
