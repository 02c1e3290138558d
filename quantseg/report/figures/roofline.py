"""The slowest convolutions of the int8 model: the time that each takes, and the time it would take at the roof."""

from collections.abc import Sequence

from quantseg.report.content import INT8, Report
from quantseg.report.document import Figure
from quantseg.report.figures.canvas import FAINT, FLOAT_COLOUR, INT8_COLOUR, Axes, draw, is_narrow
from quantseg.report.roofline import label, plain_name
from quantseg.report.tables import percent, shortened
from quantseg.runtimes.execution import ExecutedNode
from quantseg.runtimes.roofline import Roofs, convolutions, fraction_of_roof

_SHOWN = 20
_NAME_WIDTH, _NARROW_NAME = 30, 18

_Bar = tuple[str, str | None, tuple[ExecutedNode, ...]]
"""Name, shape, and the convolutions that the bar stands for."""


def roofline(report: Report) -> tuple[Figure, ...]:
    """One bar for each of the slowest convolutions, and one for all others; its dark part is the time at the roof."""
    found = convolutions(report.convolutions.get(INT8, ()))
    if report.roofs is None or not found:
        return ()
    bars: list[_Bar] = [(plain_name(node.name), label(node.product), (node,)) for node in found[:_SHOWN]]
    if rest := found[_SHOWN:]:
        bars.append((f"… and {len(rest)} more", None, rest))
    roofs = report.roofs

    def paint(axes: Axes) -> None:
        narrow = is_narrow(axes)
        widest = max(_share(nodes) for _, _, nodes in bars)
        for place, (_, shape, nodes) in enumerate(bars):
            share, fraction = _share(nodes), fraction_of_roof(nodes, roofs)
            colour = INT8_COLOUR if all(node.kind == "int8" for node in nodes) else FLOAT_COLOUR
            taken, allowed = ("time taken", "time that the roof allows") if place == 0 else (None, None)
            axes.barh(place, 100 * share, 0.62, color=colour, alpha=0.35, linewidth=0, label=taken)
            axes.barh(place, 100 * share * min(1.0, fraction or 0.0), 0.62, color=colour, label=allowed)
            said = " · ".join(part for part in (_whole_percent(fraction), None if narrow else shape) if part)
            axes.text(100 * (share + 0.012 * widest), place, said, va="center")
        axes.set_yticks(
            range(len(bars)), [shortened(name, _NARROW_NAME if narrow else _NAME_WIDTH) for name, _, _ in bars]
        )
        axes.invert_yaxis()
        axes.set_xlim(0, (120 if narrow else 145) * widest)
        axes.set_xlabel("share of the time in nodes, %")
        axes.grid(axis="x", color=FAINT)
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=1 if narrow else 2, frameon=False)

    facts = ", ".join(_fact(name, nodes, roofs) for name, _, nodes in bars)
    return (
        draw(
            paint,
            height=1.0 + 0.25 * len(bars),
            caption="The slowest convolutions of the int8 model, each with what it reaches of the roof, and its shape",
            alt=f"Share of time and part of the roof: {facts}",
        ),
    )


def _fact(name: str, nodes: Sequence[ExecutedNode], roofs: Roofs) -> str:
    return f"{name} {percent(_share(nodes))} and {percent(fraction_of_roof(nodes, roofs))}"


def _share(nodes: Sequence[ExecutedNode]) -> float:
    return sum(node.share for node in nodes)


def _whole_percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"
