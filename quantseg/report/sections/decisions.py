"""Sections on decisions: the plan, the ranges, and how the report was made."""

from quantseg.report.content import Report
from quantseg.report.document import Section, Table
from quantseg.report.figures import FIGURES
from quantseg.report.plan import KeptGroup
from quantseg.report.tables import NOTHING, decibels, percent, real, title

_NAMES_SHOWN = 6


def kept_float(report: Report) -> Section | None:
    """Nodes that the plan leaves in float, grouped by reason."""
    if report.plan is None:
        return None
    groups = report.plan.kept
    total, kept = sum(report.plan.quantised.values()), sum(len(group.nodes) for group in groups)
    if not groups:
        return Section("What stays float", f"Nothing: all {total} nodes of the plan compute in int8.")
    return Section(
        "What stays float",
        f"The plan quantises {total} nodes and keeps {kept} in float.",
        items=[_kept(group) for group in groups],
    )


def ranges(report: Report) -> Section | None:
    """The tensors with the lowest estimated SQNR."""
    if not report.ranges:
        return None
    rows = tuple(
        (
            t.name,
            t.qtype,
            f"{real(t.histogram.minimum)} … {real(t.histogram.maximum)}",
            f"{real(t.clip.minimum)} … {real(t.clip.maximum)}",
            real(t.step),
            percent(t.clipped),
            decibels(t.sqnr_db),
        )
        for t in report.ranges
    )
    return Section(
        "Worst ranges",
        "The tensors whose values suffer most from their integer grid, by the SQNR estimated from the "
        "histogram: a step of the grid costs its square over 12, a clipped value the square of its distance. "
        "In the figures the grid is shaded, and dotted lines mark the smallest and the largest value.",
        [Table("Values and grids", ("tensor", "type", "values", "grid", "step", "clipped", "SQNR"), rows)],
        FIGURES["ranges"](report),
    )


def plan(report: Report) -> Section | None:
    """The settings of the plan, the rewrites before it, and its notes."""
    if report.plan is None:
        return None
    settings = tuple((key.replace("_", " "), _setting(value)) for key, value in report.plan.settings.items())
    lowered = [f"{title(rewrite)}: {count} nodes rewritten" for rewrite, count in report.plan.lowered.items()]
    return Section(
        "The plan",
        "Rewrites that change no float result come first; the plan then decides every node that is left.",
        [Table("Settings", ("setting", "value"), settings)],
        items=[*lowered, *report.plan.notes],
    )


def provenance(report: Report) -> Section:
    """How to reproduce the report."""
    rows = tuple((key, value) for key, value in report.provenance.items())
    tables = [Table("Made with", ("what", "value"), rows)] if rows else []
    return Section("How it was made", "", tables, commands=report.commands)


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or NOTHING
    return str(value)


def _kept(group: KeptGroup) -> str:
    """'2 Resize: cubic mode overshoots the range (/a/Resize, /b/Resize)'."""
    operators = ", ".join(f"{count} {operator}" for operator, count in group.operators.items())
    reason = group.reason
    if len(group.operators) == 1:
        reason = reason.removeprefix(f"{next(iter(group.operators))}: ")
    more = len(group.nodes) - _NAMES_SHOWN
    names = ", ".join(group.nodes[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{operators}: {reason} ({names})"
