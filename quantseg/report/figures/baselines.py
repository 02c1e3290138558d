"""Mean IoU over time for an image: both networks and the classical methods."""

from quantseg.evaluation.classical import FLOAT, INT8
from quantseg.report.content import Report
from quantseg.report.document import Figure
from quantseg.report.figures.canvas import FAINT, FLOAT_COLOUR, INT8_COLOUR, QUIET, Axes, draw
from quantseg.report.tables import milliseconds, percent

_COLOURS = {FLOAT: FLOAT_COLOUR, INT8: INT8_COLOUR}
_ROOM = 2.5
"""Factor by which the axis of times goes beyond the slowest, for its name."""


def baselines(report: Report) -> tuple[Figure, ...]:
    """One named mark for each system that was timed."""
    rows = [] if report.baselines is None else list(report.baselines.rows)
    shown = [(row, row.median_ms, 100 * row.mean_iou) for row in rows if row.median_ms and row.mean_iou is not None]
    if not shown:
        return ()

    def paint(axes: Axes) -> None:
        for row, taken, iou in shown:
            axes.scatter([taken], [iou], s=36, color=_COLOURS.get(row.name, QUIET), linewidths=0)
            axes.annotate(row.name, (taken, iou), (5, 4), textcoords="offset points")
        times = [taken for _, taken, _ in shown]
        axes.set_xscale("log")
        axes.set_xlim(min(times) / 1.3, max(times) * _ROOM)
        axes.set_ylim(0, 100)
        axes.set_xlabel("milliseconds for an image")
        axes.set_ylabel("mean IoU, %", color=QUIET)
        axes.spines["left"].set_visible(True)
        axes.grid(axis="both", color=FAINT)

    facts = "; ".join(f"{row.name} {percent(row.mean_iou)} in {milliseconds(taken)}" for row, taken, _ in shown)
    return (draw(paint, height=3.4, caption="Mean IoU and time for an image", alt=f"Mean IoU and time: {facts}"),)
