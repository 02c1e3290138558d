"""Writes reports: <folder>/<name>/ with report.json, report.md and index.html, and the index of all reports."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from quantseg.errors import DataError
from quantseg.files import read_json, write_json, write_text
from quantseg.files.origin import Origin
from quantseg.report.content import Report
from quantseg.report.rendering import html_index, html_report, markdown_index, markdown_report, svg_index
from quantseg.report.sections import sections
from quantseg.report.summary import Summary

REPORT_JSON = "report.json"
REPORT_MARKDOWN = "report.md"
REPORT_HTML = "index.html"
INDEX_MARKDOWN = "README.md"
INDEX_JSON = "index.json"
INDEX_FIGURE = "comparison.svg"


NOT_OURS = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError)
"""Exceptions that mean: the file is no JSON of a report or an index."""
INDEX = Origin.of("report", "index of reports")
"""The mark of the texts of an index, which depend on all reports in its folder."""


def write_report(
    report: Report, folder: Path, *, images: bool = True, origin: Origin | None = None
) -> tuple[Path, ...]:
    """Writes report.json, report.md and index.html into `folder`. images: whether they include the images.

    origin: the mark that they get. Everything is rendered before the first file is written. Raises OutputError where
    the folder is read-only.
    """
    shown = report if images else replace(report, images=())
    made = sections(shown)  # once: most of the time goes into the figures
    texts = {REPORT_MARKDOWN: markdown_report(shown, made), REPORT_HTML: html_report(shown, made)}
    content = shown.to_json()
    write_json(folder / REPORT_JSON, content if origin is None else origin.marked_json(content))
    for name, text in texts.items():
        write_text(folder / name, text if origin is None else origin.marked(text))
    return (folder / REPORT_JSON, *(folder / name for name in texts))


def index_places(folder: Path) -> tuple[Path, ...]:
    """The files of the index of a folder of reports."""
    return tuple(folder / file for file in (REPORT_HTML, INDEX_MARKDOWN, INDEX_JSON, INDEX_FIGURE))


def report_places(folder: Path) -> tuple[Path, ...]:
    """The files of the report in this folder."""
    return tuple(folder / file for file in (REPORT_JSON, REPORT_MARKDOWN, REPORT_HTML))


def is_index_json(path: Path) -> bool:
    """Whether a file is the index of reports in JSON: folder → main figures, and nothing else."""
    try:
        return all(Summary.from_json(one) is not None for one in read_json(path).values())
    except NOT_OURS:
        return False


def write_index(folder: Path) -> tuple[Path, ...]:
    """Writes README.md, index.html and index.json for all reports in the folders of `folder`, sorted by folder name.

    If any report has another quantizer's model, comparison.svg shows the tool comparison. Raises DataError for a
    report.json that is not one of ours.
    """
    summaries = summaries_in(folder)
    svg = svg_index(summaries)
    texts = {
        INDEX_MARKDOWN: markdown_index(summaries, figure=None if svg is None else INDEX_FIGURE),
        REPORT_HTML: html_index(summaries),
        **({} if svg is None else {INDEX_FIGURE: svg}),
    }
    write_json(folder / INDEX_JSON, {name: summary.to_json() for name, summary in summaries.items()})
    for name, text in texts.items():
        write_text(folder / name, INDEX.marked(text))
    return (folder / INDEX_JSON, *(folder / name for name in texts))


def summaries_in(folder: Path, without: Collection[str] = ()) -> dict[str, Summary]:
    """Name of each report in the folder, sorted, but those of `without` → its main figures.

    Raises DataError for a report.json that is not one of ours.
    """
    places = {path.parent.name: path for path in sorted(folder.glob(f"*/{REPORT_JSON}"))}
    return {name: read_summary(path) for name, path in places.items() if name not in without}


def read_summary(path: Path) -> Summary:
    """The main figures of a report.json. Raises DataError where it cannot be read."""
    try:
        return Summary.from_json(read_json(path)["summary"])
    except NOT_OURS as error:
        raise DataError(f"{path}: not a report of quantseg ({error}); remove it or make it again") from error
