"""Median latency of each model, with the spread from the 10th to the 90th percentile."""

import numpy as np

from quantseg.report.content import INT8, Report
from quantseg.report.document import Figure
from quantseg.report.figures.canvas import FLOAT_COLOUR, INK, INT8_COLOUR, Axes, draw, is_narrow
from quantseg.report.tables import milliseconds, ratio, shortened

_NAME_WIDTH, _NARROW_NAME = 26, 12


def latency(report: Report) -> tuple[Figure, ...]:
    """One bar for each row of the benchmark."""
    timings = report.latency
    if not timings:
        return ()
    labels = [f"{milliseconds(t.median_ms)}  ({ratio(t.ratio)})" for t in timings]

    def paint(axes: Axes) -> None:
        places, narrow = np.arange(len(timings)), is_narrow(axes)
        medians = [t.median_ms for t in timings]
        spread = [[t.median_ms - t.p10_ms for t in timings], [t.p90_ms - t.median_ms for t in timings]]
        colours = [INT8_COLOUR if t.name == INT8 else FLOAT_COLOUR for t in timings]
        bars = axes.barh(places, medians, 0.55, color=colours)
        axes.errorbar(medians, places, xerr=spread, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2.5)
        ends = max(t.p90_ms for t in timings)
        for bar, label, timing in zip(bars, labels, timings, strict=True):
            x = max(timing.p90_ms, timing.median_ms) + 0.015 * ends
            axes.text(x, bar.get_y() + bar.get_height() / 2, label, va="center")
        axes.set_yticks(places, [shortened(t.name, _NARROW_NAME if narrow else _NAME_WIDTH) for t in timings])
        axes.invert_yaxis()
        axes.set_xlim(0, (1.8 if narrow else 1.3) * ends)
        axes.set_xlabel(f"milliseconds{'' if narrow else ' for one run'}, median and 10 … 90 % spread")

    facts = ", ".join(f"{timing.name} {label}" for timing, label in zip(timings, labels, strict=True))
    return (draw(paint, height=0.8 + 0.42 * len(timings), caption="Latency", alt=f"Median latency: {facts}"),)
