"""From values to text: a report, or the list of reports, as a self-contained HTML page and as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from quantseg import __version__, tables
from quantseg.report.content import Report, Summary
from quantseg.report.document import Section, Table
from quantseg.report.palette import css
from quantseg.report.sections import sections
from quantseg.report.verdict import headlines, verdict
from quantseg.tables import megabytes, milliseconds, percent, points, ratio

INDEX_TITLE = "Reports"
_INDEX_TEXT = (
    "Each row is a float model and its int8 form. Smaller and speed are ratios to the float model. "
    "Agreement is the mean IoU of the int8 masks with the float masks. mIoU is the int8 model's against the "
    "labels, where there are any, and its change is in points."
)
_INDEX_HEADERS = ("model", "size", "smaller", "latency", "speed", "agreement", "mIoU", "change")


def html_report(report: Report) -> str:
    """The report as a page: styles, figures and pictures inline, no scripts, nothing fetched."""
    return _page(
        "report.html.j2",
        title=report.name,
        verdict=verdict(report.summary),
        headlines=headlines(report),
        sections=sections(report),
    )


def markdown_report(report: Report) -> str:
    """The report as Markdown: the same text and tables, no figures or pictures."""
    parts = [f"# {tables.escaped(report.name)}", verdict(report.summary)]
    for section in sections(report):
        parts += [f"## {section.title}", *_markdown_section(section)]
    return "\n\n".join(parts) + "\n"


def html_index(summaries: Mapping[str, Summary]) -> str:
    """The table of all reports as a page. summaries: folder of each report, beside the page → its figures."""
    rows = [(f"{folder}/index.html", _index_row(summary)) for folder, summary in summaries.items()]
    table = _index_table(summaries.values())
    return _page("index.html.j2", title=INDEX_TITLE, text=_INDEX_TEXT, table=table, rows=rows)


def markdown_index(summaries: Iterable[Summary]) -> str:
    """The table of all reports as Markdown."""
    table = _index_table(summaries)
    return f"# {INDEX_TITLE}\n\n{_INDEX_TEXT}\n\n{tables.markdown(table.headers, table.rows)}\n"


def _index_table(summaries: Iterable[Summary]) -> Table:
    return Table("All reports", _INDEX_HEADERS, tuple(_index_row(summary) for summary in summaries))


def _index_row(s: Summary) -> tables.Row:
    return (
        s.name,
        megabytes(s.int8_bytes),
        ratio(s.size_ratio),
        milliseconds(s.int8_ms),
        ratio(s.speed_ratio),
        percent(s.agreement),
        percent(s.int8_iou),
        points(s.iou_change),
    )


def _markdown_section(section: Section) -> Sequence[str]:
    parts = [section.text] if section.text else []
    parts += [tables.markdown(table.headers, table.rows) for table in section.tables]
    if section.items:
        parts.append("\n".join(f"- {tables.escaped(item)}" for item in section.items))
    if section.commands:
        parts.append("\n".join(["```", *section.commands, "```"]))
    return parts


def _page(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(version=__version__, **values)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("quantseg.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["css"] = css
    environment.filters["svg"] = Markup  # figures are drawn here, and canvas.py escapes what they hold
    environment.filters["cell"] = lambda cell: tables.NOTHING if cell is None else cell
    return environment
