"""The index: a table of all reports, and the tool comparison of those that include onnxruntime's quantizer.

A column is a line in a table below. The HTML page shows all columns in one table, under the names of their groups; text
output, 100 characters wide, is split into two tables.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from quantseg.evaluation.judgement import KEEPS, LOSES, LOSES_SOME, UNKNOWN
from quantseg.report.document import Table
from quantseg.report.summary import PeerSummary, Summary
from quantseg.report.tables import NOTHING, megabytes, milliseconds, percent, points, ratio, smaller

TITLE = "Reports"
TEXT = (
    "Each row is a float model and its int8 form. Smaller and speed are ratios to the float model. "
    "Masks are kept, partly kept or lost: the report says why and what to do. They agree with the float masks by the "
    "mean IoU. mIoU is the int8 model's against the "
    "labels, where there are any, and its change is in points."
)
COMPARISON_TITLE = "Beside onnxruntime's quantizer"
COMPARISON_TEXT = (
    "Each row is one float model in three forms: float, the int8 model that onnxruntime's own quantizer (ORT) makes, "
    "and quantseg's (ours), both calibrated on the same images at like settings. mIoU compares each with the "
    "labels; agreement is the mean IoU of the int8 masks with the float masks; speed is float latency over int8 "
    "latency, timed in turns."
)


@dataclass(frozen=True)
class Column:
    """One column of the index. cell: the text of a report's cell. level: of that cell, where it is judged."""

    group: str
    header: str
    cell: Callable[[Summary], str]
    level: Callable[[Summary], str | None] = lambda _: None


_WORDS = {KEEPS: "kept", LOSES_SOME: "partly", LOSES: "lost", UNKNOWN: NOTHING, None: NOTHING}
"""Level → what becomes of the masks, in a word."""
MASKS = Column("", "masks", lambda s: _WORDS[s.level], lambda s: s.level)

REPORT_COLUMNS = (
    Column("", "model", lambda s: s.name),
    MASKS,
    Column("", "size", lambda s: megabytes(s.int8_bytes)),
    Column("", "smaller", lambda s: smaller(s.size_ratio)),
    Column("", "latency", lambda s: milliseconds(s.int8_ms)),
    Column("", "speed", lambda s: ratio(s.speed_ratio)),
    Column("", "agrees", lambda s: percent(s.agreement)),
    Column("", "mIoU", lambda s: percent(s.int8_iou)),
    Column("", "change", lambda s: points(s.iou_change)),
)
_NAME = REPORT_COLUMNS[0]
_QUALITY = (
    MASKS,
    Column("", "images", lambda s: s.data or ("not its own" if s.note else "given")),
    Column("mIoU", "float", lambda s: percent(s.float_iou)),
    Column("mIoU", "ORT", lambda s: percent(_peer(s).iou)),
    Column("mIoU", "ours", lambda s: percent(s.int8_iou)),
    Column("agreement", "ORT", lambda s: percent(_peer(s).agreement)),
    Column("agreement", "ours", lambda s: percent(s.agreement)),
)
_COST = (
    Column("size", "float", lambda s: megabytes(s.float_bytes)),
    Column("size", "ORT", lambda s: megabytes(_peer(s).bytes)),
    Column("size", "ours", lambda s: megabytes(s.int8_bytes)),
    Column("latency", "float", lambda s: milliseconds(s.float_ms)),
    Column("speed", "ORT", lambda s: ratio(s.peer_speed_ratio)),
    Column("speed", "ours", lambda s: ratio(s.speed_ratio)),
)
COMPARISON_COLUMNS = (_NAME, *_QUALITY, *_COST)


def tally(summaries: Sequence[Summary]) -> str:
    """How many models keep their masks; '' where none was judged."""
    levels = Counter(summary.level for summary in summaries)
    counts = [(levels[KEEPS], "keep their masks"), (levels[LOSES_SOME], "lose some"), (levels[LOSES], "lose them")]
    judged = sum(count for count, _ in counts)
    if not judged:
        return ""
    return f"Of {judged} int8 models, " + ", ".join(f"{count or 'none'} {what}" for count, what in counts) + "."


def report_table(summaries: Sequence[Summary]) -> Table:
    """One row for each report."""
    return _table("Reports", REPORT_COLUMNS, summaries)


def comparison_tables(summaries: Sequence[Summary]) -> tuple[Table, ...]:
    """The tool comparison as two tables, accuracy and cost, each at most 100 characters wide as text."""
    return (
        _table("Accuracy and agreement", (_NAME, *_QUALITY), summaries),
        _table("Size and latency", (_NAME, *_COST), summaries),
    )


def comparison_table(summaries: Sequence[Summary]) -> Table:
    """The tool comparison as one wide table, for HTML; its headers omit the group names, which `groups` gives."""
    headers = tuple(column.header for column in COMPARISON_COLUMNS)
    columns = COMPARISON_COLUMNS
    caption = "Float, onnxruntime's quantizer, quantseg"
    return Table(caption, headers, _rows(columns, summaries), _levels(columns, summaries))


def groups() -> tuple[tuple[str, int], ...]:
    """Name and number of columns of each group of `comparison_table`, in order."""
    return tuple((group, len(list(columns))) for group, columns in groupby(COMPARISON_COLUMNS, lambda c: c.group))


def remarks(summary: Summary) -> tuple[str, ...]:
    """Caveats of a row: which of several outputs was judged, that the images are not of the model's own data set, or
    that the peer failed and why.
    """
    return tuple(remark for remark in (summary.judged, summary.note, _peer(summary).failed) if remark is not None)


def judged(summaries: Sequence[Summary]) -> tuple[str, ...]:
    """For each model with several outputs that could be judged, a line that names the one that was."""
    return tuple(f"{summary.name}: {summary.judged}" for summary in summaries if summary.judged)


def _peer(summary: Summary) -> PeerSummary:
    return summary.peer or PeerSummary()


def _table(caption: str, columns: Sequence[Column], summaries: Sequence[Summary]) -> Table:
    """A table whose headers have the group's name before its first column."""
    first = {next(members) for group, members in groupby(columns, lambda c: c.group) if group}
    headers = tuple(f"{c.group}: {c.header}" if c in first else c.header for c in columns)
    return Table(caption, headers, _rows(columns, summaries), _levels(columns, summaries))


def _levels(columns: Sequence[Column], summaries: Sequence[Summary]) -> dict[tuple[int, int], str]:
    found = {(r, c): column.level(s) for r, s in enumerate(summaries) for c, column in enumerate(columns)}
    return {place: level for place, level in found.items() if level is not None}


def _rows(columns: Sequence[Column], summaries: Sequence[Summary]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(column.cell(summary) for column in columns) for summary in summaries)
