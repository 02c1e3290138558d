"""The index: a table of all reports, and the tool comparison of those that include other quantizers.

A column is a line in a table below. The HTML page shows all columns in one table, under the names of their groups; text
output, 100 characters wide, is split into several tables.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from quantseg.evaluation.levels import KEEPS, LOSES, LOSES_SOME, UNKNOWN
from quantseg.report.document import Table
from quantseg.report.summary import NNCF, PEER, Summary
from quantseg.report.tables import NOTHING, megabytes, milliseconds, percent, points, ratio, smaller

TITLE = "Reports"
TEXT = (
    "Each row is a float model and its int8 form. Smaller and speed are ratios to the float model. "
    "Masks are kept, partly kept or lost: the report says why and what to do. They agree with the float masks by the "
    "mean IoU. mIoU is the int8 model's against the "
    "labels, where there are any, and its change is in points."
)
COMPARISON_TITLE = "Beside other quantizers"
COMPARISON_TEXT = (
    "Each row is one float model in several forms: float, the int8 models of other quantizers (ORT: onnxruntime's own; "
    "NNCF: run in OpenVINO), and quantseg's (ours), all calibrated on the same images. mIoU compares each with the "
    "labels; agreement is the mean IoU of the int8 masks with float's masks in onnxruntime; speed is the latency of "
    "float in onnxruntime over int8 latency, timed in turns."
)
SHORT = {PEER: "ORT", NNCF: "NNCF"}
"""The other quantizers' names in tables, in their order there."""


@dataclass(frozen=True)
class Column:
    """One column of the index. cell: the text of a report's cell. level: of that cell, where it is judged. peer: the
    quantizer whose figures it shows.
    """

    group: str
    header: str
    cell: Callable[[Summary], str]
    level: Callable[[Summary], str | None] = lambda _: None
    peer: str | None = None


def _peers(group: str, cell: Callable[[Summary, str], str]) -> tuple[Column, ...]:
    """A column for each of the other quantizers."""
    return tuple(Column(group, short, partial(_of, cell, name), peer=name) for name, short in SHORT.items())


def _of(cell: Callable[[Summary, str], str], name: str, summary: Summary) -> str:
    return cell(summary, name)


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
_GAIN = (
    MASKS,
    *_peers("agreement", lambda s, name: percent(s.peer(name).agreement)),
    Column("agreement", "ours", lambda s: percent(s.agreement)),
    *_peers("speed", lambda s, name: ratio(s.peer_speed_ratio(name))),
    Column("speed", "ours", lambda s: ratio(s.speed_ratio)),
)
_ACCURACY = (
    Column("", "images", lambda s: s.data or ("not its own" if s.note else "given")),
    Column("mIoU", "float", lambda s: percent(s.float_iou)),
    *_peers("mIoU", lambda s, name: percent(s.peer(name).iou)),
    Column("mIoU", "ours", lambda s: percent(s.int8_iou)),
)
_COST = (
    Column("size", "float", lambda s: megabytes(s.float_bytes)),
    *_peers("size", lambda s, name: megabytes(s.peer(name).bytes)),
    Column("size", "ours", lambda s: megabytes(s.int8_bytes)),
    Column("latency", "float", lambda s: milliseconds(s.float_ms)),
)
_TABLES = {"Agreement and speed": _GAIN, "Accuracy": _ACCURACY, "Size and latency": _COST}
"""Caption → columns, each table at most 100 characters wide as text."""
_EVERY = (_NAME, *_GAIN, *_ACCURACY, *_COST)


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
    """The tool comparison as tables that are each at most 100 characters wide as text."""
    return tuple(_table(caption, _shown((_NAME, *own), summaries), summaries) for caption, own in _TABLES.items())


def comparison_table(summaries: Sequence[Summary]) -> Table:
    """The tool comparison as one wide table, for HTML; its headers omit the group names, which `groups` gives."""
    columns, caption = _shown(_EVERY, summaries), "Float, other quantizers, quantseg"
    return Table(caption, tuple(c.header for c in columns), _rows(columns, summaries), _levels(columns, summaries))


def groups(summaries: Sequence[Summary]) -> tuple[tuple[str, int], ...]:
    """Name and number of columns of each group of `comparison_table`, in order."""
    columns = _shown(_EVERY, summaries)
    return tuple((group, len(list(members))) for group, members in groupby(columns, lambda c: c.group))


def remarks(summary: Summary) -> tuple[str, ...]:
    """Caveats of a row: which of several outputs was judged, that the images are not of the model's own data set, or
    that another quantizer failed and why.
    """
    failed = (f"{SHORT[peer.name]}: {peer.failed}" for peer in summary.peers if peer.failed is not None)
    return (*(remark for remark in (summary.judged, summary.note) if remark is not None), *failed)


def judged(summaries: Sequence[Summary]) -> tuple[str, ...]:
    """For each model with several outputs that could be judged, a line that names the one that was."""
    return tuple(f"{summary.name}: {summary.judged}" for summary in summaries if summary.judged)


def machines(summaries: Sequence[Summary]) -> str:
    """A sentence that says on which processor the figures were measured, model by model where there are several."""
    named = {one: [s.name for s in summaries if s.machine == one] for one in (s.machine for s in summaries) if one}
    if len(named) == 1 and all(summary.machine for summary in summaries):
        return f"All figures are of one machine: {next(iter(named))}."
    return " ".join(f"The figures of {', '.join(names)} are of {machine}." for machine, names in named.items())


def _shown(columns: Sequence[Column], summaries: Sequence[Summary]) -> tuple[Column, ...]:
    """Without the columns of quantizers that were not compared."""
    compared = {peer.name for summary in summaries for peer in summary.peers}
    return tuple(column for column in columns if column.peer is None or column.peer in compared)


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
