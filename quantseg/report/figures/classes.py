"""IoU of each class, float beside int8; without labels, the agreement of each class."""

import numpy as np

from quantseg.report.content import Report
from quantseg.report.document import Figure
from quantseg.report.figures.canvas import FAINT, FLOAT_COLOUR, INT8_COLOUR, Axes, draw, is_narrow
from quantseg.report.tables import percent, shortened

_THICKNESS = 0.36
_NAME_WIDTH, _NARROW_NAME = 22, 14


def classes(report: Report) -> tuple[Figure, ...]:
    """Two bars (float, int8) for each class that has a value; without labels one bar, the agreement."""
    e = report.evaluation
    if e.float_scores is None or e.int8_scores is None:
        series = {"int8 with float": e.between.per_class["iou"]}
    else:
        series = {"float": e.float_scores.per_class["iou"], "int8": e.int8_scores.per_class["iou"]}
    shown = [k for k in range(len(e.classes)) if any(values[k] is not None for values in series.values())]
    if not shown:
        return ()

    def paint(axes: Axes) -> None:
        places = np.arange(len(shown))
        colours = [FLOAT_COLOUR, INT8_COLOUR][-len(series) :]
        for turn, (label, values) in enumerate(series.items()):
            offset = (turn - (len(series) - 1) / 2) * _THICKNESS
            widths = [100 * (values[k] or 0.0) for k in shown]
            axes.barh(places + offset, widths, _THICKNESS, color=colours[turn], label=label)
        axes.set_yticks(
            places, [shortened(e.classes[k], _NARROW_NAME if is_narrow(axes) else _NAME_WIDTH) for k in shown]
        )
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("IoU, %")
        axes.grid(axis="x", color=FAINT)
        if len(series) > 1:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)

    first, last = (list(series.values())[i] for i in (0, -1))
    facts = ", ".join(
        f"{e.classes[k]} {percent(first[k])}" + (f" and {percent(last[k])}" if len(series) > 1 else "") for k in shown
    )
    names = " and ".join(series)
    return (draw(paint, height=0.9 + 0.34 * len(shown), caption="IoU of each class", alt=f"IoU, {names}: {facts}"),)
