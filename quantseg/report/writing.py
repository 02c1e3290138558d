"""Reports as files: reports/<name>/ with report.json, report.md and index.html, and the index of them all."""

import json
from dataclasses import replace
from pathlib import Path

from quantseg.errors import DataError
from quantseg.files import write_json, write_text
from quantseg.report.content import Report, Summary
from quantseg.report.rendering import html_index, html_report, markdown_index, markdown_report

REPORT_JSON = "report.json"
REPORT_MARKDOWN = "report.md"
REPORT_HTML = "index.html"
INDEX_MARKDOWN = "README.md"


def write_report(report: Report, folder: Path, *, pictures: bool = True) -> tuple[Path, ...]:
    """Writes the three forms of a report into `folder`; without `pictures`, none shows the images themselves.

    Everything is rendered before the first file is written. Raises OutputError where the folder is read-only.
    """
    shown = report if pictures else replace(report, pictures=())
    texts = {REPORT_MARKDOWN: markdown_report(shown), REPORT_HTML: html_report(shown)}
    write_json(folder / REPORT_JSON, shown.to_json())
    for name, text in texts.items():
        write_text(folder / name, text)
    return (folder / REPORT_JSON, *(folder / name for name in texts))


def write_index(folder: Path) -> tuple[Path, ...]:
    """Writes README.md and index.html over the reports that lie in the folders of `folder`, by folder name.

    Raises DataError for a report.json that is not one of ours.
    """
    summaries = {path.parent.name: read_summary(path) for path in sorted(folder.glob(f"*/{REPORT_JSON}"))}
    markdown, html = folder / INDEX_MARKDOWN, folder / REPORT_HTML
    write_text(markdown, markdown_index(summaries.values()))
    write_text(html, html_index(summaries))
    return markdown, html


def read_summary(path: Path) -> Summary:
    """The first figures of a report.json. Raises DataError where it cannot be read."""
    try:
        return Summary(**json.loads(path.read_text(encoding="utf-8"))["summary"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a report of quantseg ({error}); remove it or make it again") from error
