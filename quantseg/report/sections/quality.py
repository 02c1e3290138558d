"""Sections on quality: the int8 model's masks, compared with the float model's and with the labels."""

from collections.abc import Sequence

from quantseg.evaluation.agreement import Evaluation, ImageResult
from quantseg.evaluation.judgement import AGREEMENT, CLASS_POINTS, POINTS, class_level, image_level, least_share
from quantseg.evaluation.metrics.instances import LOOSE
from quantseg.report.content import FLOAT, INT8, Report
from quantseg.report.document import Legend, Section, Table
from quantseg.report.figures import FIGURES
from quantseg.report.index import SHORT
from quantseg.report.palette import CHANGED, IGNORED, LOST, class_colours
from quantseg.report.tables import NOTHING, Row, decibels, percent, points, title

_WORST_IMAGES = 10
_WORST_TEXT = "The images on which int8 and float agree least, the worst first."
_THICKER = " In the images, pixels that differ are drawn three pixels wide, so that a single one can be seen."


def accuracy(report: Report) -> Section:
    """Both models against the labels, and the int8 masks against the float masks; the same for the peers' models."""
    e = report.evaluation
    text = f"Over {e.images} images. Agreement compares the int8 masks with the float masks and needs no labels."
    if e.instances is not None:
        text += " Masks are the unions of each class's instances; AP and AR are of the instances."
    if e.identical:
        text += " The outputs of the two models are identical."
    elif e.sqnr_db is not None:
        text += f" The output's signal to quantisation noise ratio (SQNR) is {decibels(e.sqnr_db)}."
    peers = [(SHORT[peer.name], peer.evaluation) for peer in report.peers if peer.evaluation is not None]
    if e.judged.note:
        text += f" {e.judged.note[:1].upper()}{e.judged.note[1:]}."
    if peers:
        text += " Beside them stand the models that other quantizers (ORT: onnxruntime's own) make of the same images."
    if e.float_scores is None or e.int8_scores is None:
        headers: tuple[str, ...] = ("figure", "agreement")
        rows: list[Row] = [(title(key), percent(value)) for key, value in e.between.summary.items()]
    else:
        text += " The other columns compare each model with the labels; the change is in points."
        headers = ("figure", FLOAT, INT8, "change", "agreement")
        real, int8 = e.float_scores.summary, e.int8_scores.summary
        rows = [
            (title(key), *_change(real.get(key), int8.get(key)), percent(value))
            for key, value in e.between.summary.items()
        ]
    for name, peer in peers:
        if peer.int8_scores is not None:
            headers = (*headers, name)
            against = peer.int8_scores.summary
            rows = [(*row, percent(against.get(key))) for row, key in zip(rows, e.between.summary, strict=True)]
        headers = (*headers, "its agreement" if peer.int8_scores else name)
        rows = [(*row, percent(score)) for row, score in zip(rows, peer.between.summary.values(), strict=True)]
    return Section("Accuracy", text, [Table("All classes", headers, tuple(rows), _mean_levels(e))])


def classes(report: Report) -> Section:
    """IoU and Dice of each class, float beside int8."""
    e = report.evaluation
    agreement = [percent(value) for value in e.between.per_class["iou"]]
    if e.float_scores is None or e.int8_scores is None:
        rows: tuple[Row, ...] = tuple(zip(e.classes, agreement, strict=True))
        table = Table("Agreement of each class", ("class", "IoU with float"), rows, _class_levels(e, 1))
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
        table = Table("IoU and Dice of each class", headers, rows, _class_levels(e, 6))
    text = f"A class that occurs nowhere has no value ({NOTHING}) and is left out of the means."
    return Section("Classes", text, [table], FIGURES["classes"](report))


def images(report: Report) -> Section:
    """The images with the lowest agreement, with their panels if they were drawn."""
    worst = report.evaluation.worst(_WORST_IMAGES)
    rows = tuple((image.name, percent(image.agreement), percent(image.changed_pixels)) for image in worst)
    shown = sorted({k for image in report.images for k in image.present})
    colours = class_colours(report.evaluation.classes)
    legend = [Legend(colours[k], report.evaluation.classes[k]) for k in shown]
    if any(image.ignored for image in report.images):
        legend.append(Legend(IGNORED, "ignored"))
    if report.images and report.evaluation.instances is not None:
        legend.append(Legend(LOST, f"without a partner of mask IoU {LOOSE} or more: lost (float) or gained (int8)"))
    elif report.images:
        legend.append(Legend(CHANGED, "pixels that differ"))
    return Section(
        "Worst images",
        _WORST_TEXT + (_THICKER if report.images and report.evaluation.instances is None else ""),
        [
            Table(
                "Agreement of each image",
                ("image", "agreement", "changed pixels"),
                rows,
                _image_levels(report.evaluation, worst),
            )
        ],
        FIGURES["agreement"](report),
        legend=legend,
        images=report.images,
    )


def _image_levels(e: Evaluation, worst: Sequence[ImageResult]) -> dict[tuple[int, int], str]:
    """Levels of each image's agreement; none where instances are judged, not masks."""
    if e.instances is not None:
        return {}
    return {(k, 1): image_level(image, least_share(e)) for k, image in enumerate(worst)}


def _mean_levels(e: Evaluation) -> dict[tuple[int, int], str]:
    """Levels of the row of mean IoU: its agreement, and its change where there are labels."""
    if e.instances is not None:
        return {}
    row = list(e.between.summary).index("mean_iou")
    if e.float_scores is None or e.int8_scores is None:
        return {(row, 1): AGREEMENT.level(e.agreement)}
    before, after = e.float_scores.mean_iou, e.int8_scores.mean_iou
    change = {} if before is None or after is None else {(row, 3): POINTS.level(100 * (before - after))}
    return {(row, 4): AGREEMENT.level(e.agreement)} | change


def _class_levels(e: Evaluation, column: int) -> dict[tuple[int, int], str]:
    """Levels of each class: of its agreement in `column`, and of its change in column 3 where there are labels."""
    if e.instances is not None:
        return {}
    agreements = e.between.per_class["iou"]
    shares: Sequence[float | None] = [max(one) for one in e.class_shares] or [None] * len(agreements)
    levels = {
        (k, column): class_level(iou, share)
        for k, (iou, share) in enumerate(zip(agreements, shares, strict=True))
        if iou is not None
    }
    if e.float_scores is None or e.int8_scores is None:
        return levels
    pairs = zip(e.float_scores.per_class["iou"], e.int8_scores.per_class["iou"], strict=True)
    drops = [None if a is None or b is None else 100 * (a - b) for a, b in pairs]
    return levels | {(k, 3): CLASS_POINTS.level(drop) for k, drop in enumerate(drops) if drop is not None}


def _change(before: float | None, after: float | None) -> tuple[str, str, str]:
    difference = None if before is None or after is None else after - before
    return percent(before), percent(after), points(difference)
