"""Writes reports: <folder>/<name>/ with report.json, report.md and index.html, and the index of all reports."""

from dataclasses import asdict, replace
from pathlib import Path

from quantseg.errors import DataError
from quantseg.files import check_writable, read_json, write_json, write_text
from quantseg.report.content import Report
from quantseg.report.rendering import html_index, html_report, markdown_index, markdown_report, svg_index
from quantseg.report.summary import Summary

REPORT_JSON = "report.json"
REPORT_MARKDOWN = "report.md"
REPORT_HTML = "index.html"
INDEX_MARKDOWN = "README.md"
INDEX_JSON = "index.json"
INDEX_FIGURE = "comparison.svg"


def write_report(report: Report, folder: Path, *, images: bool = True) -> tuple[Path, ...]:
    """Writes report.json, report.md and index.html into `folder`. images: whether they include the images.

    Everything is rendered before the first file is written. Raises OutputError where the folder is read-only.
    """
    shown = report if images else replace(report, images=())
    texts = {REPORT_MARKDOWN: markdown_report(shown), REPORT_HTML: html_report(shown)}
    write_json(folder / REPORT_JSON, shown.to_json())
    for name, text in texts.items():
        write_text(folder / name, text)
    return (folder / REPORT_JSON, *(folder / name for name in texts))


def check_places(folder: Path, name: str | None) -> None:
    """Raises OutputError where the index, or the report of this name, cannot be written to the folder of reports."""
    for file in (REPORT_HTML, INDEX_MARKDOWN, INDEX_JSON, INDEX_FIGURE):
        check_writable(folder / file)
    if name is not None:
        for file in (REPORT_JSON, REPORT_MARKDOWN, REPORT_HTML):
            check_writable(folder / name / file)


def write_index(folder: Path) -> tuple[Path, ...]:
    """Writes README.md, index.html and index.json for all reports in the folders of `folder`, sorted by folder name.

    If any report has another quantizer's model, comparison.svg shows the tool comparison. Raises DataError for a
    report.json that is not one of ours.
    """
    summaries = {path.parent.name: read_summary(path) for path in sorted(folder.glob(f"*/{REPORT_JSON}"))}
    svg = svg_index(summaries)
    texts = {
        INDEX_MARKDOWN: markdown_index(summaries, figure=None if svg is None else INDEX_FIGURE),
        REPORT_HTML: html_index(summaries),
        **({} if svg is None else {INDEX_FIGURE: svg}),
    }
    write_json(folder / INDEX_JSON, {name: asdict(summary) for name, summary in summaries.items()})
    for name, text in texts.items():
        write_text(folder / name, text)
    return (folder / INDEX_JSON, *(folder / name for name in texts))


def read_summary(path: Path) -> Summary:
    """The main figures of a report.json. Raises DataError where it cannot be read."""
    try:
        return Summary.from_json(read_json(path)["summary"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: not a report of quantseg ({error}); remove it or make it again") from error
