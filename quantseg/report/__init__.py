"""The report: all measurements of one quantised model, as JSON, Markdown and one HTML page.

reporting.py takes a model that was made here, or any file; building.py measures it, content.py holds the values.
sections/ selects what one report shows and index.py what the table of all reports shows, rendering.py makes HTML and
Markdown, writing.py writes the files.
"""

from quantseg.report.building import JudgedData, Measuring, Subject, build_report
from quantseg.report.content import FLOAT, INT8, ModelFile, Peer, Report
from quantseg.report.images import ReportImage, image
from quantseg.report.index import comparison_tables, remarks
from quantseg.report.plan import PlanSummary, summarise_plan
from quantseg.report.ranges import TensorRange, worst_ranges
from quantseg.report.reporting import Reporting, report_on, report_on_file
from quantseg.report.summary import NNCF, PEER, PeerSummary, Summary
from quantseg.report.verdict import comparison_verdict, verdict
from quantseg.report.writing import (
    INDEX,
    index_places,
    is_index_json,
    report_places,
    summaries_in,
    write_index,
    write_report,
)

__all__ = [
    "FLOAT",
    "INDEX",
    "INT8",
    "NNCF",
    "PEER",
    "JudgedData",
    "Measuring",
    "ModelFile",
    "Peer",
    "PeerSummary",
    "PlanSummary",
    "Report",
    "ReportImage",
    "Reporting",
    "Subject",
    "Summary",
    "TensorRange",
    "build_report",
    "comparison_tables",
    "comparison_verdict",
    "image",
    "index_places",
    "is_index_json",
    "remarks",
    "report_on",
    "report_on_file",
    "report_places",
    "summaries_in",
    "summarise_plan",
    "verdict",
    "worst_ranges",
    "write_index",
    "write_report",
]
