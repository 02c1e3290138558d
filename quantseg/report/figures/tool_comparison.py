"""The tool comparison as a figure: accuracy, agreement and speed of both quantizers, one line for each float model."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from quantseg.report.document import Figure
from quantseg.report.figures.canvas import FAINT, FLOAT_COLOUR, INT8_COLOUR, PAPER, QUIET, WARNING, Axes, draw_row
from quantseg.report.summary import PeerSummary, Summary
from quantseg.report.tables import NOTHING, percent, points, ratio, shortened

_NAME_WIDTH = 24
_AGREEMENTS = (90, 99, 99.9, 0, 50, 95, 98, 80, 99.5)
"""Possible ticks of the agreement axis (logarithmic in the disagreement), by priority."""
_TICK_ROOM = 0.12
"""The least distance between ticks, as a share of the axis."""
_CLOSEST = 5e-4
"""Smaller disagreements are drawn as this one, since a logarithmic axis has no zero."""

Values = Sequence[float | None]


@dataclass(frozen=True)
class _Panel:
    """One measure of all models. place: maps a value to its axis position. level: the float model's own value.

    ticks: values to mark where there is room, by priority; empty means matplotlib's. around: the least extent of the
    axis to each side of the level, so that negligible differences look small.
    """

    label: str
    word: str
    shown: Callable[[float | None], str]
    peer: Values
    ours: Values
    place: Callable[[float], float]
    level: float | None = None
    ticks: Sequence[float] = ()
    around: float = 0


def comparison(summaries: Sequence[Summary]) -> tuple[Figure, ...]:
    """One line for each report that has both models, from the other quantizer's to ours; no figure for none."""
    if not any(s.peer is not None for s in summaries):
        return ()
    panels, names = _panels(summaries), [shortened(s.name, _NAME_WIDTH) for s in summaries]
    facts = "; ".join(_words(name, row, panels) for row, name in enumerate(names))
    return (
        draw_row(
            [_painter(panel, names if number == 0 else None) for number, panel in enumerate(panels)],
            height=1.1 + 0.27 * len(summaries),
            width=9.0,
            caption="From onnxruntime's quantizer to quantseg, further right is better: blue lines lead to the right, "
            "orange ones to the left. A ring around a dot: as good.",
            alt=f"onnxruntime's quantizer and quantseg, for each model: {facts}",
        ),
    )


def _panels(summaries: Sequence[Summary]) -> tuple[_Panel, ...]:
    peers = [s.peer or PeerSummary() for s in summaries]
    return (
        _Panel(
            "change of mIoU against the labels, points",
            "change of mIoU",
            points,
            [
                None if p.iou is None or s.float_iou is None else p.iou - s.float_iou
                for s, p in zip(summaries, peers, strict=True)
            ],
            [s.iou_change for s in summaries],
            lambda share: 100 * share,
            level=0,
            around=0.5,
        ),
        _Panel(
            "agreement with float, % (log scale)",
            "agreement",
            percent,
            [p.agreement for p in peers],
            [s.agreement for s in summaries],
            lambda share: -math.log10(max(_CLOSEST, 1 - share)),
            ticks=[tick / 100 for tick in _AGREEMENTS],
        ),
        _Panel(
            "speed, times the float model's",
            "speed",
            ratio,
            [s.peer_speed_ratio for s in summaries],
            [s.speed_ratio for s in summaries],
            lambda times: times,
            level=1,
        ),
    )


def _painter(panel: _Panel, names: Sequence[str] | None) -> Callable[[Axes], None]:
    theirs, ours = (
        [None if value is None else panel.place(value) for value in side] for side in (panel.peer, panel.ours)
    )

    def paint(axes: Axes) -> None:
        for row, (start, end) in enumerate(zip(theirs, ours, strict=True)):
            if start is not None and end is not None:
                axes.plot([start, end], [row, row], color=INT8_COLOUR if end >= start else WARNING, lw=2.2, alpha=0.55)
        if panel.level is not None:
            axes.axvline(panel.place(panel.level), color=QUIET, lw=0.9, ls="--", label="float")
        ring = {"s": 62, "facecolors": PAPER, "edgecolors": FLOAT_COLOUR, "linewidths": 1.5, "zorder": 3}
        _marks(axes, theirs, label="onnxruntime's quantizer", **ring)
        _marks(axes, ours, label="quantseg", s=26, color=INT8_COLOUR, linewidths=0, zorder=4)
        axes.set_xlabel(panel.label)
        axes.grid(axis="both", color=FAINT, lw=0.7)
        axes.margins(x=0.08)
        if panel.level is not None and panel.around:
            low, high = axes.get_xlim()
            level = panel.place(panel.level)
            axes.set_xlim(min(low, level - panel.around), max(high, level + panel.around))
        if panel.ticks:
            ticks = _with_room(panel, *axes.get_xlim())
            axes.set_xticks([panel.place(tick) for tick in ticks], [f"{100 * tick:g}" for tick in ticks])
        else:
            axes.locator_params(axis="x", nbins=5)
        if names is not None:
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.4, -0.6)

    return paint


def _with_room(panel: _Panel, low: float, high: float) -> list[float]:
    """The panel's ticks within the axis limits, without those too close to one of higher priority."""
    chosen = list[float]()
    for tick in panel.ticks:
        place = panel.place(tick)
        if low <= place <= high and all(abs(place - panel.place(k)) >= _TICK_ROOM * (high - low) for k in chosen):
            chosen.append(tick)
    return chosen


def _marks(axes: Axes, places: Values, **style: Any) -> None:
    rows = [row for row, place in enumerate(places) if place is not None]
    axes.scatter([place for place in places if place is not None], rows, marker="o", **style)


def _words(name: str, row: int, panels: Sequence[_Panel]) -> str:
    pairs = [(panel.word, panel.shown(panel.peer[row]), panel.shown(panel.ours[row])) for panel in panels]
    said = ", ".join(f"{word} {theirs} and {ours}" for word, theirs, ours in pairs if (theirs, ours) != (NOTHING,) * 2)
    return f"{name}: {said}"
