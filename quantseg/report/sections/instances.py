"""The section on instances: matched with the float model's, and mask AP by class and by size."""

from collections.abc import Iterator, Sequence

from quantseg.evaluation.agreement import Evaluation
from quantseg.evaluation.instance_judgement import AP_POINTS, KEPT_CLOSELY, class_kept_level, gained_level, kept_level
from quantseg.evaluation.instances import ap_of
from quantseg.evaluation.metrics.instances import LOOSE, TIGHT
from quantseg.evaluation.metrics.instances.counts import MatchCounts
from quantseg.evaluation.metrics.instances.precision import AREAS
from quantseg.evaluation.metrics.scores import Scores
from quantseg.report.content import INT8, Report
from quantseg.report.document import Section, Table
from quantseg.report.figures import FIGURES
from quantseg.report.index import SHORT
from quantseg.report.tables import Cell, Row, percent, points

_IMAGES = 10
_SIZES = {"all": "all", "small": "small, below 32² pixels", "medium": "medium", "large": "large, from 96² pixels"}
MATCHED = ("float", "int8", "kept", f"kept at {TIGHT}", "lost", "gained", "mean IoU")
"""Headers of a table of matched instances."""


def instances(report: Report) -> Section | None:
    """Instances kept, lost and gained, AP by class and size; None for models that give none."""
    e = report.evaluation
    if e.instances is None:
        return None
    text = (
        "Each of the float model's instances is matched with at most one of the int8 model's, of the same class, those "
        f"of the highest mask IoU first. Kept: matched at IoU {LOOSE} or more. Lost, gained: without a partner."
    )
    if "ap" in e.between.summary:
        text += (
            " AP (average precision) is the mean over mask IoU 0.50, 0.55 … 0.95; its agreement takes the float "
            "model's instances as the truth and needs no labels. AR (average recall): with at most 100 detections an "
            "image."
        )
    tables = [_matched(e), *_sizes(e), *_classes(e), *_peers(report), *_images(e)]
    items = [f"{e.instances.note}."] if e.instances.note else []
    return Section("Instances", text, tables, FIGURES["instances"](report), items)


def _matched(e: Evaluation) -> Table:
    assert e.instances is not None
    total, per_class = e.instances.total, e.instances.per_class
    rows: list[Row] = [("all", *counted(total))] if len(per_class) > 1 else []
    levels = _levels(0, total) if rows else {}
    for name, one in zip(e.classes, per_class, strict=True):
        if one.reference:
            levels[len(rows), 3] = class_kept_level(one.kept() or 0.0, one.reference)
        rows.append((name, *counted(one)))
    return Table("Instances of each class", ("class", *MATCHED), tuple(rows), levels)


def _levels(row: int, total: MatchCounts) -> dict[tuple[int, int], str]:
    if not total.reference:
        return {}
    closely = KEPT_CLOSELY.level(total.kept(TIGHT) or 0.0)
    return {(row, 3): kept_level(total), (row, 4): closely, (row, 6): gained_level(total)}


def counted(one: MatchCounts) -> tuple[Cell, ...]:
    """The cells of MATCHED."""
    shares = percent(one.kept()), percent(one.kept(TIGHT))
    return one.reference, one.candidate, *shares, one.lost, one.gained, percent(one.mean_iou)


def _pair(real: Scores | None, int8: Scores | None) -> tuple[Scores, Scores] | None:
    """Both models' scores where AP against the labels is known."""
    if real is None or int8 is None or ap_of(real) is None or ap_of(int8) is None:
        return None
    return real, int8


def _change(before: float | None, after: float | None) -> tuple[str, str, str]:
    return percent(before), percent(after), points(None if before is None or after is None else after - before)


def _level(before: float | None, after: float | None, place: tuple[int, int]) -> dict[tuple[int, int], str]:
    return {} if before is None or after is None else {place: AP_POINTS.level(100 * (before - after))}


def _sizes(e: Evaluation) -> Iterator[Table]:
    """AP by size, of both models where there are labels, and agreement."""
    if "ap" not in e.between.summary:
        return
    pair = _pair(e.float_scores, e.int8_scores)
    headers = ("instances", *(("AP float", "AP int8", "change") if pair else ()), "agreement")
    rows: list[Row] = []
    for area in AREAS:
        key = "ap" if area == "all" else f"ap_{area}"
        both = () if pair is None else _change(pair[0].summary[key], pair[1].summary[key])
        rows.append((_SIZES[area], *both, percent(e.between.summary[key])))
    levels = {} if pair is None else _level(pair[0].summary["ap"], pair[1].summary["ap"], (0, 3))
    yield Table("Mask AP by size", headers, tuple(rows), levels)


def _classes(e: Evaluation) -> Iterator[Table]:
    pair = _pair(e.float_scores, e.int8_scores)
    if pair is None:
        if "ap" in e.between.per_class and len(e.classes) > 1:
            values = zip(e.classes, e.between.per_class["ap"], strict=True)
            yield Table(
                "Mask AP of each class", ("class", "agreement"), tuple((name, percent(v)) for name, v in values)
            )
        return
    real, int8 = (scores.per_class for scores in pair)
    headers = ("class", "AP float", "AP int8", "change", "AP50 float", "AP50 int8", "agreement")
    rows = tuple(
        (
            name,
            *_change(real["ap"][k], int8["ap"][k]),
            *(percent(one["ap50"][k]) for one in (real, int8)),
            percent(e.between.per_class["ap"][k]),
        )
        for k, name in enumerate(e.classes)
    )
    yield Table("Mask AP of each class", headers, rows)


def _peers(report: Report) -> Iterator[Table]:
    """The int8 model beside those of the other quantizers."""
    found = [(SHORT[peer.name], peer.evaluation) for peer in report.peers if peer.evaluation is not None]
    rows = [_beside(name, one) for name, one in [(INT8, report.evaluation), *found] if one.instances is not None]
    if len(rows) > 1:
        yield Table("Beside other quantizers", ("model", *MATCHED, "AP"), tuple(rows))


def _beside(name: str, evaluation: Evaluation) -> Row:
    assert evaluation.instances is not None
    return (name, *counted(evaluation.instances.total), percent(ap_of(evaluation.int8_scores)))


def _images(e: Evaluation) -> Sequence[Table]:
    assert e.instances is not None
    rows = tuple((one.name, *counted(one.total)) for one in e.instances.worst(_IMAGES))
    return [Table("Images with the most lost and gained", ("image", *MATCHED), rows)] if rows else []
