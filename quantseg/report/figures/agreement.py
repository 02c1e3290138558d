"""Agreement of every image, sorted: shows whether a few outliers or all images differ."""

import numpy as np

from quantseg.report.content import Report
from quantseg.report.document import Figure
from quantseg.report.figures.canvas import FAINT, INT8_COLOUR, QUIET, Axes, draw
from quantseg.report.tables import percent


def agreement(report: Report) -> tuple[Figure, ...]:
    """One point for each image, from the worst to the best; nothing for fewer than three images."""
    values = np.array(sorted(image.agreement for image in report.evaluation.per_image))
    if len(values) < 3:
        return ()
    median = float(np.median(values))

    def paint(axes: Axes) -> None:
        axes.plot(np.arange(1, len(values) + 1), 100 * values, "o-", color=INT8_COLOUR, lw=1, ms=3.5)
        axes.axhline(100 * median, color=QUIET, lw=0.9, ls="--")
        axes.annotate(
            f"median {percent(median)}",
            (len(values), 100 * median),
            (0, -11),
            textcoords="offset points",
            color=QUIET,
            ha="right",
        )
        axes.set_xlim(0, len(values) + 1)
        lowest = 100 * values[0]
        axes.set_ylim(lowest - max(0.2 * (100 - lowest), 0.1), 100 + 0.05 * max(100 - lowest, 0.5))
        axes.set_xlabel("images, the worst first")
        axes.set_ylabel("agreement, %")
        axes.grid(axis="y", color=FAINT)

    worst, middle, best = (percent(value) for value in (values[0], median, values[-1]))
    facts = f"{len(values)} images: worst {worst}, median {middle}, best {best}"
    return (draw(paint, height=2.0, caption="Agreement of each image", alt=f"Agreement over {facts}"),)
