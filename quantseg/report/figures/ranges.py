"""Histograms of the tensors with the lowest estimated SQNR, with their clip ranges."""

from quantseg.report.content import Report
from quantseg.report.document import Figure
from quantseg.report.figures.canvas import FLOAT_COLOUR, INT8_COLOUR, QUIET, WARNING, Axes, draw
from quantseg.report.ranges import DRAWN_BINS, TensorRange, coarser
from quantseg.report.tables import decibels, percent, real, shortened

_NAME_WIDTH = 60


def ranges(report: Report) -> tuple[Figure, ...]:
    """One drawing for each tensor."""
    return tuple(_range(tensor) for tensor in report.ranges)


def _range(tensor: TensorRange) -> Figure:
    h, clip = tensor.histogram, tensor.clip
    edges, counts = coarser(h, DRAWN_BINS)

    def paint(axes: Axes) -> None:
        axes.axvspan(clip.minimum, clip.maximum, color=INT8_COLOUR, alpha=0.13, lw=0)
        axes.stairs(counts / h.total, edges, fill=True, color=FLOAT_COLOUR)
        for limit in (clip.minimum, clip.maximum):
            axes.axvline(limit, color=INT8_COLOUR, lw=1.4)
        for extremum in (h.minimum, h.maximum):
            axes.axvline(extremum, color=WARNING, lw=0.9, ls=":")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.set_xlabel("value")
        axes.set_ylabel("share of values", color=QUIET)

    name = shortened(tensor.name, _NAME_WIDTH)
    facts = (
        f"values {real(h.minimum)} … {real(h.maximum)}, "
        f"grid {real(clip.minimum)} … {real(clip.maximum)} in steps of {real(tensor.step)}, "
        f"{percent(tensor.clipped)} clipped, estimated SQNR {decibels(tensor.sqnr_db)}"
    )
    return draw(paint, height=1.9, caption=f"{name}: {facts}", alt=f"Histogram of {tensor.name}: {facts}")
