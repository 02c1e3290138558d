"""Where the time goes: the share of each kind of work, one bar for each model."""

from quantseg.report.content import Report
from quantseg.report.document import Figure
from quantseg.report.figures.canvas import (
    FAINT,
    FLOAT_COLOUR,
    INT8_COLOUR,
    MIXED,
    PAPER,
    WARNING,
    Axes,
    draw,
    is_narrow,
)
from quantseg.report.tables import percent
from quantseg.runtimes.execution import Kind

_COLOURS: dict[Kind, str] = {
    "int8": INT8_COLOUR,
    "float": FLOAT_COLOUR,
    "boundary": WARNING,
    "movement": MIXED,
    "other": FAINT,
}
_LEAST = 0.06
"""Below this share a bar is too narrow to hold its label."""


def execution(report: Report) -> tuple[Figure, ...]:
    """One stacked bar for each model; the full bar is all time spent in nodes."""
    if not report.executed:
        return ()

    def paint(axes: Axes) -> None:
        for place, summary in enumerate(report.executed.values()):
            left = 0.0
            for kind, colour in _COLOURS.items():
                share = summary.kinds[kind].share
                label = kind if place == 0 else None
                axes.barh(place, 100 * share, 0.55, left=100 * left, color=colour, label=label)
                if share >= (2 if is_narrow(axes) else 1) * _LEAST:
                    middle = 100 * (left + share / 2)
                    axes.text(middle, place, f"{100 * share:.0f} %", ha="center", va="center", color=PAPER)
                left += share
        axes.set_yticks(range(len(report.executed)), list(report.executed))
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of the time in nodes, %")
        axes.grid(axis="x", color=FAINT)
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3 if is_narrow(axes) else len(_COLOURS), frameon=False
        )

    facts = "; ".join(
        f"{name}: " + ", ".join(f"{kind} {percent(summary.kinds[kind].share)}" for kind in _COLOURS)
        for name, summary in report.executed.items()
    )
    return (
        draw(
            paint,
            height=1.1 + 0.42 * len(report.executed),
            caption="Time by kind of work",
            alt=f"Share of time: {facts}",
        ),
    )
