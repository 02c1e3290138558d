"""Renders a report, or the index of reports, as a self-contained HTML page and as Markdown."""

import base64
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from quantseg import __version__
from quantseg.errors import printable
from quantseg.evaluation.levels import KEEPS, LOSES, LOSES_SOME, UNKNOWN
from quantseg.report import figures, index, tables
from quantseg.report.content import Report
from quantseg.report.document import Figure, Section
from quantseg.report.palette import css
from quantseg.report.sections import sections
from quantseg.report.summary import Summary
from quantseg.report.verdict import SYMBOLS, TITLES, Verdict, comparison_verdict, headlines, verdict


def html_report(report: Report, made: Sequence[Section] | None = None) -> str:
    """The report as an HTML page: styles, figures, images and the script that sorts tables inline, nothing external.

    made: its sections, where they are there already.
    """
    return _page(
        "report.html.j2",
        title=report.name,
        judgement=report.verdict,
        verdict=verdict(report.summary),
        headlines=headlines(report),
        sections=sections(report) if made is None else made,
    )


def markdown_report(report: Report, made: Sequence[Section] | None = None) -> str:
    """The report as Markdown: the same text and tables, without figures and images. made: as above."""
    parts = [f"# {tables.escaped(report.name)}", *_markdown_verdict(report.verdict)]
    parts.append(tables.escaped(verdict(report.summary)))
    for section in sections(report) if made is None else made:
        parts += [f"## {section.title}", *_markdown_section(section)]
    return "\n\n".join(parts) + "\n"


def html_index(summaries: Mapping[str, Summary]) -> str:
    """The index as an HTML page. summaries: folder of a report, relative to the page → its main figures."""
    beside, alone = _by_peer(summaries)
    comparison = {
        "title": index.COMPARISON_TITLE,
        "text": index.COMPARISON_TEXT,
        "verdict": comparison_verdict(tuple(beside.values())),
        "table": index.comparison_table(tuple(beside.values())),
        "groups": index.groups(tuple(beside.values())),
        "links": _links(beside),
        "remarks": [index.remarks(summary) for summary in beside.values()],
        "figures": figures.comparison(tuple(beside.values())),
    }
    return _page(
        "index.html.j2",
        title=index.TITLE,
        tally=index.tally(tuple(summaries.values())),
        machines=index.machines(tuple(summaries.values())),
        text=index.TEXT,
        table=index.report_table(tuple(alone.values())),
        links=_links(alone),
        judged=index.judged(tuple(alone.values())),
        comparison=comparison if beside else None,
    )


def markdown_index(summaries: Mapping[str, Summary], *, figure: str | None = None) -> str:
    """The index as Markdown. figure: the SVG file of the tool comparison, relative to the Markdown file."""
    beside, alone = (tuple(part.values()) for part in _by_peer(summaries))
    parts = [f"# {index.TITLE}", *([index.tally(tuple(summaries.values()))] if summaries else [])]
    parts += [tables.escaped(line) for line in (index.machines(tuple(summaries.values())),) if line]
    if beside:
        parts += [f"## {index.COMPARISON_TITLE}", index.COMPARISON_TEXT]
        parts += [line for line in (comparison_verdict(beside),) if line]
        parts += [] if figure is None else [f"![{index.COMPARISON_TITLE}: accuracy, agreement and speed]({figure})"]
        parts += [tables.markdown(table.headers, table.rows) for table in index.comparison_tables(beside)]
        said = [f"- {tables.escaped(f'{s.name}: {remark}')}" for s in beside for remark in index.remarks(s)]
        parts += ["\n".join(said)] if said else []
    if alone or not beside:
        table = index.report_table(alone)
        parts += [*(["## Other reports"] if beside else []), index.TEXT, tables.markdown(table.headers, table.rows)]
        said = [f"- {tables.escaped(line)}" for line in index.judged(alone)]
        parts += ["\n".join(said)] if said else []
    return "\n\n".join(parts) + "\n"


def svg_index(summaries: Mapping[str, Summary]) -> str | None:
    """The tool comparison's figure as a standalone SVG file; None where no report has a peer."""
    drawn = figures.comparison(tuple(_by_peer(summaries)[0].values()))
    return svg_file(drawn[0]) if drawn else None


def svg_file(figure: Figure) -> str:
    """A figure as a standalone SVG file with the page's colours, light and dark."""
    opening, rest = figure.svg.split(">", 1)
    colours = _templates().get_template("colours.css").render()
    style = f"<style>{colours}\ntext {{ font-family: system-ui, sans-serif !important; }}</style>"
    return f'{opening}>\n{style}\n<rect width="100%" height="100%" fill="var(--paper)"/>{rest}\n'


def _by_peer(summaries: Mapping[str, Summary]) -> tuple[dict[str, Summary], dict[str, Summary]]:
    """Splits the reports into those with another quantizer's model and those without."""
    with_peer = {folder: s for folder, s in summaries.items() if s.peers}
    return with_peer, {folder: s for folder, s in summaries.items() if not s.peers}


def _links(summaries: Mapping[str, Summary]) -> list[str]:
    return [quote(os.fsencode(f"{folder}/index.html")) for folder in summaries]


def _markdown_verdict(judged: Verdict) -> Sequence[str]:
    parts = [f"## {judged.symbol} {judged.title}", tables.escaped(judged.sentence)]
    if said := [*(fact for _, fact in judged.facts), *judged.caveats]:
        parts.append("\n".join(f"- {tables.escaped(text)}" for text in said))
    if judged.steps:
        parts.append("\n".join(["What to do next:", "", *(f"- {tables.escaped(str(step))}" for step in judged.steps)]))
    return parts


def _markdown_section(section: Section) -> Sequence[str]:
    parts = [tables.escaped(section.text)] if section.text else []
    parts += [tables.markdown(table.headers, table.rows) for table in section.tables]
    if section.items:
        parts.append("\n".join(f"- {tables.escaped(item)}" for item in section.items))
    if section.commands:
        parts.append("\n".join(["```", *map(printable, section.commands), "```"]))
    return parts


def _page(template: str, **values: Any) -> str:
    script = _script()
    digest = base64.b64encode(sha256(script.encode()).digest()).decode("ascii")
    return (
        _templates()
        .get_template(template)
        .render(version=__version__, script=script, script_hash=f"sha256-{digest}", **values)
    )


@cache
def _script() -> Markup:
    """The script that sorts tables: it alone may run in a page, by its digest in the page's security policy."""
    return Markup("\n" + _source("sort.js"))  # safe: a file of this package


def _source(name: str) -> str:
    environment = _templates()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _inert(value: Any) -> Any:
    """What a template prints: text on one line, control characters escaped, before jinja escapes HTML."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_GRADES = {KEEPS: "good", LOSES_SOME: "some", LOSES: "bad", UNKNOWN: "unknown"}
"""Level → class of the style sheet."""


def _mark(level: str | None) -> Markup:
    """The symbol before a figure that is bad, which is never told by colour alone."""
    if level not in (LOSES_SOME, LOSES):
        return Markup("")
    return Markup('<span class="mark" title="{}">{}</span> ').format(TITLES[level].lower(), SYMBOLS[level])


def _whole(text: tables.Cell) -> Markup:
    """Text in which no line ends between a number and its unit."""
    shown = escape(printable(str(tables.NOTHING if text is None else text)))
    return Markup(re.sub(r"(?<=\d) (?=%|dB|ms|MB)", "&nbsp;", shown))  # safe: it is escaped


def _sorting(cell: tables.Cell, alignment: str) -> Markup:
    """The attribute by which the script sorts a column of numbers."""
    key = tables.sort_key(cell) if alignment == "right" else None
    return Markup("") if key is None else Markup(' data-sort="{}"').format(repr(key))


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("quantseg.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_inert,
    )
    environment.filters["css"] = css
    environment.filters["svg"] = Markup  # safe: figures are our own, and canvas.py escapes their text
    environment.filters["grade"] = _GRADES.__getitem__
    environment.filters["mark"] = _mark
    environment.filters["whole"] = _whole
    environment.filters["sorting"] = _sorting
    environment.filters["lines"] = lambda texts: Markup("\n").join(map(printable, texts))
    environment.filters["cell"] = lambda cell: tables.NOTHING if cell is None else cell
    return environment
