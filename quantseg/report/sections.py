"""What a report says: each section is a function from the report to a Section, or None without content."""

from collections.abc import Callable

from quantseg.report.content import FLOAT, INT8, Report
from quantseg.report.document import Legend, Section, Table
from quantseg.report.figures import FIGURES
from quantseg.report.palette import CHANGED, IGNORED, class_colours
from quantseg.report.plan import KeptGroup
from quantseg.runtimes.execution import KINDS
from quantseg.tables import (
    NOTHING,
    Row,
    decibels,
    megabytes,
    milliseconds,
    percent,
    points,
    ratio,
    real,
    title,
)

_NAMES_SHOWN = 6
_WORST_IMAGES = 10
_THICKER = (
    " In the pictures, pixels that differ are drawn three pixels wide, so that a single one can be seen."
)
_KIND_MEANS = {
    "int8": "work on 8-bit tensors",
    "float": "arithmetic in float",
    "boundary": "float to 8 bit and back",
    "movement": "float tensors only moved",
    "other": "shapes, indices, casts",
}


def accuracy(report: Report) -> Section:
    """Both models against the labels, and the int8 masks against the float masks."""
    e = report.evaluation
    text = (
        f"Over {e.images} images. Agreement compares the int8 masks with the float masks and needs no labels."
    )
    if e.identical:
        text += " The outputs of the two models are identical."
    elif e.sqnr_db is not None:
        text += f" The output's signal to quantisation noise ratio (SQNR) is {decibels(e.sqnr_db)}."
    if e.float_scores is None or e.int8_scores is None:
        plain = tuple((title(key), percent(value)) for key, value in e.between.summary.items())
        return Section("Accuracy", text, [Table("All classes", ("figure", "agreement"), plain)])
    rows = tuple(
        (title(key), *_change(e.float_scores.summary[key], e.int8_scores.summary[key]), percent(agreement))
        for key, agreement in e.between.summary.items()
    )
    return Section(
        "Accuracy",
        f"{text} The other columns compare each model with the labels; the change is in points.",
        [Table("All classes", ("figure", FLOAT, INT8, "change", "agreement"), rows)],
    )


def classes(report: Report) -> Section:
    """IoU and Dice of each class, float beside int8."""
    e = report.evaluation
    agreement = [percent(value) for value in e.between.per_class["iou"]]
    if e.float_scores is None or e.int8_scores is None:
        rows: tuple[Row, ...] = tuple(zip(e.classes, agreement, strict=True))
        table = Table("Agreement of each class", ("class", "IoU with float"), rows)
    else:
        real_scores, int8_scores = e.float_scores.per_class, e.int8_scores.per_class
        headers = ("class", "IoU float", "IoU int8", "change", "Dice float", "Dice int8", "agreement")
        rows = tuple(
            (
                name,
                *_change(real_scores["iou"][k], int8_scores["iou"][k]),
                percent(real_scores["dice"][k]),
                percent(int8_scores["dice"][k]),
                agreement[k],
            )
            for k, name in enumerate(e.classes)
        )
        table = Table("IoU and Dice of each class", headers, rows)
    text = f"A class that occurs nowhere has no value ({NOTHING}) and is left out of the means."
    return Section("Classes", text, [table], FIGURES["classes"](report))


def speed(report: Report) -> Section | None:
    """Latency of each model, timed side by side."""
    if not report.latency:
        return None
    rows = tuple(
        (
            t.name,
            milliseconds(t.median_ms),
            milliseconds(t.minimum_ms),
            f"{milliseconds(t.p10_ms)} … {milliseconds(t.p90_ms)}",
            ratio(t.ratio),
            megabytes(t.peak_memory_bytes),
        )
        for t in report.latency
    )
    return Section(
        "Speed",
        "Timed in turns, one session alive at a time. The ratios hold; the milliseconds are this machine's.",
        [
            Table(
                "Latency of one run",
                ("model", "median", "minimum", "10 … 90 %", "speed", "peak memory"),
                rows,
            )
        ],
        FIGURES["latency"](report),
    )


def size(report: Report) -> Section:
    """The two files."""
    files = {FLOAT: report.float_model, INT8: report.int8_model}
    rows = tuple(
        (
            name,
            model.file,
            megabytes(model.size),
            ratio(report.float_model.size / model.size),
            model.sha256[:16],
        )
        for name, model in files.items()
    )
    return Section("Size", "", [Table("Files", ("model", "file", "size", "smaller", "SHA-256 begins"), rows)])


def execution(report: Report) -> Section | None:
    """What the runtime really ran, by kind of work."""
    if not report.executed:
        return None
    totals = [summary.kinds for summary in report.executed.values()]
    rows = tuple(
        (
            kind,
            _KIND_MEANS[kind],
            *(cell for k in totals for cell in (k[kind].nodes, percent(k[kind].share))),
        )
        for kind in KINDS
    )
    headers = (
        "kind",
        "what it is",
        *(head for name in report.executed for head in (f"{name}: nodes", "time")),
    )
    text = "A runtime rewrites the graph that it is given. These nodes ran, sorted by the types they ran on."
    left = report.executed[INT8].float_conv_transposes if INT8 in report.executed else 0
    items = [f"The int8 model still runs {left} ConvTranspose in float."] if left else []
    return Section(
        "What runs", text, [Table("Nodes and time", headers, rows)], FIGURES["execution"](report), items
    )


def kept_float(report: Report) -> Section:
    """Nodes that the plan leaves in float, grouped by reason."""
    groups = report.plan.kept
    total, kept = sum(report.plan.quantised.values()), sum(len(group.nodes) for group in groups)
    if not groups:
        return Section("What stays float", f"Nothing: all {total} nodes of the plan compute in int8.")
    return Section(
        "What stays float",
        f"The plan quantises {total} nodes and keeps {kept} in float.",
        items=[_kept(group) for group in groups],
    )


def plan(report: Report) -> Section:
    """The settings of the plan, what was rewritten before it, and what a reader may not expect of it."""
    settings = tuple((key.replace("_", " "), _setting(value)) for key, value in report.plan.settings.items())
    lowered = [f"{title(rewrite)}: {count} nodes rewritten" for rewrite, count in report.plan.lowered.items()]
    return Section(
        "The plan",
        "Rewrites that change no float result come first; the plan then decides every node that is left.",
        [Table("Settings", ("setting", "value"), settings)],
        items=[*lowered, *report.plan.notes],
    )


def ranges(report: Report) -> Section | None:
    """The tensors that lose most in their grids."""
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


def images(report: Report) -> Section:
    """The images that agree least, with their pictures where there are any."""
    worst = report.evaluation.worst(_WORST_IMAGES)
    rows = tuple((image.name, percent(image.agreement), percent(image.changed_pixels)) for image in worst)
    shown = sorted({k for picture in report.pictures for k in picture.present})
    colours = class_colours(report.evaluation.classes)
    legend = [Legend(colours[k], report.evaluation.classes[k]) for k in shown]
    if any(picture.ignored for picture in report.pictures):
        legend.append(Legend(IGNORED, "ignored"))
    if report.pictures:
        legend.append(Legend(CHANGED, "pixels that differ"))
    return Section(
        "Worst images",
        "The images on which int8 and float agree least, the worst first."
        + (_THICKER if report.pictures else ""),
        [Table("Agreement of each image", ("image", "agreement", "changed pixels"), rows)],
        FIGURES["agreement"](report),
        legend=legend,
        pictures=report.pictures,
    )


def provenance(report: Report) -> Section:
    """How to make the report again."""
    rows = tuple((key, value) for key, value in report.provenance.items())
    tables = [Table("Made with", ("what", "value"), rows)] if rows else []
    return Section("How it was made", "", tables, commands=report.commands)


SECTIONS: tuple[Callable[[Report], Section | None], ...] = (
    accuracy,
    classes,
    images,
    speed,
    size,
    execution,
    kept_float,
    ranges,
    plan,
    provenance,
)


def sections(report: Report) -> tuple[Section, ...]:
    """The sections that have something to say, in reading order."""
    made = (section(report) for section in SECTIONS)
    return tuple(section for section in made if section is not None)


def _change(before: float | None, after: float | None) -> tuple[str, str, str]:
    difference = None if before is None or after is None else after - before
    return percent(before), percent(after), points(difference)


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
