"""Cost and accuracy loss of every model that a search evaluated, with the Pareto front and the chosen model."""

from collections.abc import Sequence
from typing import Any

from quantseg.mixed_precision.budget import Budget, Point
from quantseg.report.document import Figure
from quantseg.report.figures.canvas import FAINT, FLOAT_COLOUR, INT8_COLOUR, PAPER, QUIET, WARNING, Axes, draw
from quantseg.report.tables import percent

_ROOM = 0.08


def pareto(
    points: Sequence[Point], chosen: Point, budget: Budget, best: Sequence[Point], *, timed: bool = False
) -> Figure:
    """One mark for each point. chosen: one of them. best: the Pareto front, the cheapest first.

    timed: whether costs are latencies; if not, the share of int8 is drawn. With per-class budgets the loss that is
    drawn is the number of points by which the most violated budget is missed.
    """
    of_classes = bool(budget.classes)
    allowed = 0.0 if of_classes else budget.mean

    def place(point: Point) -> float:
        return point.cost if timed else 100 * point.int8_share

    def lost(point: Point) -> float:
        return budget.excess(point) if of_classes else point.drop

    def marks(axes: Axes, drawn: Sequence[Point], **style: Any) -> None:
        axes.scatter([place(point) for point in drawn], [lost(point) for point in drawn], **style)

    def paint(axes: Axes) -> None:
        ys = [lost(point) for point in points]
        axes.axhspan(min(0.0, *ys) - 1e3, allowed, color=INT8_COLOUR, alpha=0.07, lw=0)
        axes.axhline(
            allowed, color=QUIET, lw=0.9, ls="--", label="budget" if of_classes else f"budget: {allowed:g} points"
        )
        if not of_classes:
            axes.plot([place(p) for p in best], [lost(p) for p in best], color=INT8_COLOUR, lw=1.2, alpha=0.6, zorder=2)
        ring: dict[str, Any] = {
            "s": 30,
            "facecolors": PAPER,
            "edgecolors": FLOAT_COLOUR,
            "linewidths": 1.3,
            "zorder": 3,
        }
        if others := [point for point in points if point not in best]:
            marks(axes, others, label="another is better", **ring)
        marks(axes, best, label="Pareto", s=30, color=INT8_COLOUR, linewidths=0, zorder=4)
        ring |= {"s": 120, "facecolors": "none", "edgecolors": WARNING, "zorder": 5}
        marks(axes, [chosen], label="chosen", **ring)
        axes.set_xlabel("milliseconds, by the times of its parts" if timed else "multiply-accumulates in int8, %")
        axes.set_ylabel("points over the tightest budget" if of_classes else "points of mIoU lost", color=QUIET)
        axes.spines["left"].set_visible(True)
        axes.grid(axis="both", color=FAINT)
        low, high = min(0.0, *ys), max(allowed, *ys)
        axes.set_ylim(low - _ROOM * (high - low), high + _ROOM * (high - low))
        axes.margins(x=_ROOM)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, frameon=False)

    facts = "; ".join(
        f"{percent(point.int8_share)} in int8, {point.drop:.2f} points lost{', chosen' if point is chosen else ''}"
        for point in sorted(points, key=lambda p: (p.cost, p.drop))
    )
    return draw(paint, height=3.4, caption="Cost and loss of each judged model", alt=f"Judged models: {facts}")
