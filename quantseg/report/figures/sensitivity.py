"""The most sensitive nodes of a plan: the loss with the node alone quantised, and the gain with it alone left float."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from quantseg.mixed_precision.sensitivity import Loss, NodeSensitivity, Sensitivity
from quantseg.report.document import Figure
from quantseg.report.figures.canvas import (
    FAINT,
    FLOAT_COLOUR,
    INT8_COLOUR,
    MIXED,
    PAPER,
    QUIET,
    WARNING,
    Axes,
    draw_row,
)
from quantseg.report.tables import decibels, percent, telling

_NAME_WIDTH = 34
_BAR = 0.62


def sensitivity(measured: Sensitivity, *, top: int) -> Figure:
    """A line for each of the `top` most sensitive nodes, the worst first. Infinite values are not drawn."""
    ranked = measured.ranked()
    nodes, names = ranked[:top], telling([node.node for node in ranked], _NAME_WIDTH)[:top]
    gains = [gain for node in nodes if (gain := measured.gain_db(node)) is not None]
    panels = [
        _decibels(nodes, measured.whole, names),
        _bars([100 * n.alone.flipped for n in nodes], "pixels flipped, %"),
        *([_bars(gains, "gain if left float, dB")] if gains else []),
        _bars([100 * measured.share(n) for n in nodes], "share of MACs, %", FLOAT_COLOUR),
    ]
    facts = "; ".join(
        f"{n.node} {decibels(n.alone.sqnr_db)}, {percent(n.alone.flipped)} flipped"
        + (f", gain {decibels(measured.gain_db(n))}" if gains else "")
        for n in nodes
    )
    return draw_row(
        panels,
        height=1.2 + 0.24 * len(nodes),
        width=9.0,
        caption="Each node quantised alone, the most harmful first: SQNR of the output and pixels that change their "
        "class" + ("; what the whole plan gains in SQNR where the node stays float." if gains else "."),
        alt=f"Loss of each node quantised alone{', and the gain of leaving it float' if gains else ''}: {facts}",
    )


def _decibels(nodes: Sequence[NodeSensitivity], whole: Loss, names: Sequence[str]) -> Callable[[Axes], None]:
    """Marks for weights, activations and both on one scale, and a line for the whole plan."""
    ring = {"s": 40, "facecolors": PAPER, "linewidths": 1.4}
    kinds: tuple[tuple[str, Sequence[Loss | None], dict[str, Any]], ...] = (
        ("its weights alone", [n.weights for n in nodes], {**ring, "edgecolors": MIXED, "marker": "s"}),
        ("its activations alone", [n.activations for n in nodes], {**ring, "edgecolors": WARNING, "marker": "o"}),
        ("both", [n.alone for n in nodes], {"s": 15, "color": INT8_COLOUR, "linewidths": 0, "marker": "o"}),
    )

    def paint(axes: Axes) -> None:
        for layer, (label, losses, style) in enumerate(kinds, start=3):
            seen = [(loss.sqnr_db, row) for row, loss in enumerate(losses) if loss and math.isfinite(loss.sqnr_db)]
            axes.scatter([db for db, _ in seen], [row for _, row in seen], label=label, zorder=layer, **style)
        if math.isfinite(whole.sqnr_db):
            axes.axvline(whole.sqnr_db, color=QUIET, lw=0.9, ls="--", label="the whole plan")
        axes.set_xlabel("SQNR, dB")
        axes.grid(axis="both", color=FAINT, lw=0.7)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)

    return paint


def _bars(values: Sequence[float], label: str, colour: str = INT8_COLOUR) -> Callable[[Axes], None]:
    """A bar for each value; negative ones in a warning colour."""

    def paint(axes: Axes) -> None:
        drawn = [value if math.isfinite(value) else 0.0 for value in values]
        axes.barh(range(len(drawn)), drawn, _BAR, color=[colour if v >= 0 else WARNING for v in drawn], linewidth=0)
        axes.axvline(0, color=FAINT, lw=0.9)
        axes.set_xlabel(label)
        axes.grid(axis="x", color=FAINT, lw=0.7)
        axes.locator_params(axis="x", nbins=4)

    return paint
