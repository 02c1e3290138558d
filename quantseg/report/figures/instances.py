"""Instances: kept, lost and gained of each class, and mask AP by size and class, float beside int8."""

from collections.abc import Mapping, Sequence

import numpy as np

from quantseg.evaluation.metrics.instances import LOOSE
from quantseg.evaluation.metrics.instances.precision import AREAS
from quantseg.report.content import Report
from quantseg.report.document import Figure
from quantseg.report.figures.canvas import (
    FAINT,
    FLOAT_COLOUR,
    INT8_COLOUR,
    MIXED,
    WARNING,
    Axes,
    draw,
    is_narrow,
)
from quantseg.report.tables import percent, shortened

_THICKNESS = 0.36
_NAME_WIDTH, _NARROW_NAME = 22, 14
_MOST = 40
"""Classes that are drawn: those with the most instances."""


def instances(report: Report) -> tuple[Figure, ...]:
    """Two figures; none for models without instances, and none of AP where it is not known."""
    found = report.evaluation.instances
    counts = () if found is None else found.per_class
    seen = [k for k, one in enumerate(counts) if one.reference or one.candidate]
    shown = sorted(sorted(seen, key=lambda k: (-counts[k].reference, k))[:_MOST])
    return (_matched(report, shown), *_precision(report, shown)) if shown else ()


def _matched(report: Report, shown: Sequence[int]) -> Figure:
    e = report.evaluation
    assert e.instances is not None
    counts = [e.instances.per_class[k] for k in shown]
    parts = {
        "kept": ([one.matched() for one in counts], INT8_COLOUR),
        "lost": ([one.lost for one in counts], WARNING),
        "gained": ([one.gained for one in counts], MIXED),
    }
    names = [e.classes[k] for k in shown]

    def paint(axes: Axes) -> None:
        places, left = np.arange(len(shown)), np.zeros(len(shown))
        for label, (values, colour) in parts.items():
            axes.barh(places, values, 2 * _THICKNESS, left=left, color=colour, label=label)
            left += values
        _named(axes, names)
        axes.set_xlabel("instances")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)

    facts = ", ".join(
        f"{name} {one.matched()} kept, {one.lost} lost, {one.gained} gained"
        for name, one in zip(names, counts, strict=True)
    )
    caption = f"Instances of each class, matched at mask IoU {LOOSE}"
    return draw(paint, height=1.0 + 0.34 * len(shown), caption=caption, alt=f"Instances: {facts}")


def _precision(report: Report, shown: Sequence[int]) -> tuple[Figure, ...]:
    e = report.evaluation
    if "ap" not in e.between.summary:
        return ()
    real, int8 = e.float_scores, e.int8_scores
    if real is None or int8 is None or "ap" not in real.summary:
        series = {"int8 with float": _values(e.between.summary, e.between.per_class["ap"], shown)}
    else:
        both = {"float": real, "int8": int8}
        series = {name: _values(one.summary, one.per_class["ap"], shown) for name, one in both.items()}
    names = ["all", *AREAS[1:], *(e.classes[k] for k in shown)]
    rows = [k for k in range(len(names)) if any(values[k] is not None for values in series.values())]
    if not rows:
        return ()

    def paint(axes: Axes) -> None:
        places, colours = np.arange(len(rows)), [FLOAT_COLOUR, INT8_COLOUR][-len(series) :]
        for turn, (label, values) in enumerate(series.items()):
            offset = (turn - (len(series) - 1) / 2) * _THICKNESS
            widths = [100 * (values[k] or 0.0) for k in rows]
            axes.barh(places + offset, widths, _THICKNESS, color=colours[turn], label=label)
        _named(axes, [names[k] for k in rows])
        axes.set_xlim(0, 100)
        axes.set_xlabel("mask AP, %")
        if len(series) > 1:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)

    facts = ", ".join(f"{names[k]} " + " and ".join(percent(values[k]) for values in series.values()) for k in rows)
    alt = f"Mask AP, {' and '.join(series)}: {facts}"
    return (draw(paint, height=1.0 + 0.34 * len(rows), caption="Mask AP by size and class", alt=alt),)


def _values(
    summary: Mapping[str, float | None], per_class: Sequence[float | None], shown: Sequence[int]
) -> list[float | None]:
    """AP of all, of each size and of each shown class."""
    return [summary["ap"], *(summary[f"ap_{area}"] for area in AREAS[1:]), *(per_class[k] for k in shown)]


def _named(axes: Axes, names: Sequence[str]) -> None:
    width = _NARROW_NAME if is_narrow(axes) else _NAME_WIDTH
    axes.set_yticks(np.arange(len(names)), [shortened(name, width) for name in names])
    axes.invert_yaxis()
    axes.grid(axis="x", color=FAINT)
