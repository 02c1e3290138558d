"""The section on classical methods: what the network, in float and in int8, gives more than thresholds and clusters."""

from quantseg.evaluation.classical import FLOAT, INT8, Baselines
from quantseg.report.content import Report
from quantseg.report.document import Section, Table
from quantseg.report.figures import FIGURES
from quantseg.report.tables import Row, file_size, milliseconds, percent, points, ratio

TITLE = "Classical methods"


def baselines(report: Report) -> Section | None:
    """A row for both networks and each method, the IoU of each class, and what separates the best from int8."""
    found = report.baselines
    if found is None:
        return None
    if found.left_out:
        return Section(TITLE, f"There are none: {found.left_out}.")
    quality = tuple(
        (r.name, percent(r.mean_iou), percent(r.mean_dice), percent(r.foreground_iou), percent(r.foreground_dice))
        for r in found.rows
    )
    cost = tuple((r.name, milliseconds(r.median_ms), ratio(r.ratio), file_size(r.size)) for r in found.rows)
    tables = [
        Table("Beside the labels", ("system", "mean IoU", "mean Dice", "foreground IoU", "foreground Dice"), quality),
        Table("What an image costs", ("system", "an image", "speed", "size"), cost),
        Table("IoU of each class", ("class", FLOAT, INT8, "the best method", "its IoU"), _by_class(found)),
    ]
    return Section(TITLE, _text(found), tables, FIGURES["baselines"](report))


def _by_class(found: Baselines) -> tuple[Row, ...]:
    """Both networks and the best method of each class."""
    networks = [row for row in found.rows if row.name in (FLOAT, INT8)]
    rows = list[Row]()
    for k, name in enumerate(found.classes):
        best = max(found.methods, key=lambda row: row.iou[k] or 0.0)
        rows.append((name, *(percent(row.iou[k]) for row in networks), best.name, percent(best.iou[k])))
    return tuple(rows)


def _text(found: Baselines) -> str:
    best = max(found.methods, key=lambda row: row.mean_iou or 0.0)
    int8 = next(row for row in found.rows if row.name == INT8)
    parts = [
        f"Each method parts an image into segments, which get their classes by their mean colour, as learnt from "
        f"{found.learnt_from} of the labelled images; all rows are of the {found.images} others. Foreground is every "
        f"class but {found.classes[0]}. Times are of the whole way to class ids, in turns, methods on one thread; "
        "speed is relative to the float model. The size of a method is that of the colours that it learnt."
    ]
    if found.unseen:
        parts.append(f"None of the images to learn from holds {', '.join(found.unseen)}: no method can name that.")
    if int8.mean_iou is not None and best.mean_iou is not None:
        difference = points(int8.mean_iou - best.mean_iou)
        parts.append(f"The int8 model's mean IoU differs by {difference} points from that of the best, {best.name}.")
    return " ".join(parts)
