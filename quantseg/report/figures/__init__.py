"""Figures of the report: each module draws one as SVG; the same report gives the same bytes.

A new figure is a file here, a line in FIGURES, and its name in the section that shows it. `comparison`, the tool
comparison of many reports, is drawn for the index.
"""

from collections.abc import Callable, Mapping

from quantseg.report.content import Report
from quantseg.report.document import Figure
from quantseg.report.figures.agreement import agreement
from quantseg.report.figures.classes import classes
from quantseg.report.figures.execution import execution
from quantseg.report.figures.instances import instances
from quantseg.report.figures.latency import latency
from quantseg.report.figures.ranges import ranges
from quantseg.report.figures.roofline import roofline
from quantseg.report.figures.tool_comparison import comparison

__all__ = ["FIGURES", "Draw", "comparison"]

Draw = Callable[[Report], tuple[Figure, ...]]
"""Draws the figures of one kind; returns none where there is nothing to draw."""

FIGURES: Mapping[str, Draw] = {
    "agreement": agreement,
    "classes": classes,
    "execution": execution,
    "instances": instances,
    "latency": latency,
    "ranges": ranges,
    "roofline": roofline,
}
