"""The tool comparison as a figure: accuracy, agreement and speed of all quantizers, one line for each float model."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantseg.report.document import Figure
from quantseg.report.figures.canvas import FAINT, FLOAT_COLOUR, INT8_COLOUR, PAPER, QUIET, WARNING, Axes, draw_row
from quantseg.report.summary import NNCF, PEER, PEERS, Summary
from quantseg.report.tables import NOTHING, percent, points, ratio, shortened

_NAME_WIDTH = 24
_AGREEMENTS = (90, 99, 99.9, 0, 50, 95, 98, 80, 99.5)
"""Possible ticks of the agreement axis (logarithmic in the disagreement), by priority."""
_TICK_ROOM = 0.12
"""The least distance between ticks, as a share of the axis."""
_CLOSEST = 5e-4
"""Smaller disagreements are drawn as this one, since a logarithmic axis has no zero."""

_LABELS = {PEER: "onnxruntime's quantizer", NNCF: "NNCF, OpenVINO"}

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
    peers: Mapping[str, Values]
    ours: Values
    place: Callable[[float], float]
    level: float | None = None
    ticks: Sequence[float] = ()
    around: float = 0


def comparison(summaries: Sequence[Summary]) -> tuple[Figure, ...]:
    """One line for each report, from onnxruntime's quantizer (else NNCF) to ours; no figure without them."""
    compared = [name for name in PEERS if any(peer.name == name for s in summaries for peer in s.peers)]
    if not compared:
        return ()
    panels, names = _panels(summaries, compared), [shortened(s.name, _NAME_WIDTH) for s in summaries]
    facts = "; ".join(_words(name, row, panels) for row, name in enumerate(names))
    return (
        draw_row(
            [_painter(panel, names if number == 0 else None) for number, panel in enumerate(panels)],
            height=1.1 + 0.27 * len(summaries),
            width=9.0,
            caption=f"From {_LABELS[compared[0]]} to quantseg, further right is better: blue lines lead to the right, "
            f"orange ones to the left. A ring around a dot: as good.{_also(compared)}",
            alt=f"{', '.join(_LABELS[name] for name in compared)} and quantseg, for each model: {facts}",
        ),
    )


def _also(compared: Sequence[str]) -> str:
    return f" Crosses: {', '.join(_LABELS[name] for name in compared[1:])}." if compared[1:] else ""


def _panels(summaries: Sequence[Summary], compared: Sequence[str]) -> tuple[_Panel, ...]:
    def of(value: Callable[[Summary, str], float | None]) -> Mapping[str, Values]:
        return {name: [value(summary, name) for summary in summaries] for name in compared}

    return (
        _Panel(
            "change of mIoU against the labels, points",
            "change of mIoU",
            points,
            of(_iou_change),
            [s.iou_change for s in summaries],
            lambda share: 100 * share,
            level=0,
            around=0.5,
        ),
        _Panel(
            "agreement with float, % (log scale)",
            "agreement",
            percent,
            of(lambda summary, name: summary.peer(name).agreement),
            [s.agreement for s in summaries],
            lambda share: -math.log10(max(_CLOSEST, 1 - share)),
            ticks=[tick / 100 for tick in _AGREEMENTS],
        ),
        _Panel(
            "speed, times the float model's",
            "speed",
            ratio,
            of(Summary.peer_speed_ratio),
            [s.speed_ratio for s in summaries],
            lambda times: times,
            level=1,
        ),
    )


def _iou_change(summary: Summary, name: str) -> float | None:
    theirs, real = summary.peer(name).iou, summary.float_iou
    return None if theirs is None or real is None else theirs - real


def _painter(panel: _Panel, names: Sequence[str] | None) -> Callable[[Axes], None]:
    (first, theirs), *others = ((name, _placed(panel, values)) for name, values in panel.peers.items())
    ours = _placed(panel, panel.ours)

    def paint(axes: Axes) -> None:
        for row, (start, end) in enumerate(zip(theirs, ours, strict=True)):
            if start is not None and end is not None:
                axes.plot([start, end], [row, row], color=INT8_COLOUR if end >= start else WARNING, lw=2.2, alpha=0.55)
        if panel.level is not None:
            axes.axvline(panel.place(panel.level), color=QUIET, lw=0.9, ls="--", label="float")
        ring = {"s": 62, "facecolors": PAPER, "edgecolors": FLOAT_COLOUR, "linewidths": 1.5, "zorder": 3}
        _marks(axes, theirs, label=_LABELS[first], marker="o", **ring)
        for name, values in others:
            _marks(axes, values, label=_LABELS[name], marker="x", s=30, color=FLOAT_COLOUR, linewidths=1.3, zorder=3)
        _marks(axes, ours, label="quantseg", marker="o", s=26, color=INT8_COLOUR, linewidths=0, zorder=4)
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


def _placed(panel: _Panel, values: Values) -> list[float | None]:
    return [None if value is None else panel.place(value) for value in values]


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
    axes.scatter([place for place in places if place is not None], rows, **style)


def _words(name: str, row: int, panels: Sequence[_Panel]) -> str:
    shown = [
        (panel.word, [panel.shown(values[row]) for values in (*panel.peers.values(), panel.ours)]) for panel in panels
    ]
    said = (f"{word} {', '.join(theirs)} and {ours}" for word, (*theirs, ours) in shown if {*theirs, ours} != {NOTHING})
    return f"{name}: {', '.join(said)}"
