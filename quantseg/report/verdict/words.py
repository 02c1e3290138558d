"""A judgement in words: title and symbol of its level, one sentence, facts with their levels, caveats, next steps."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from quantseg.evaluation.judgement import AGREEMENT, POINTS, MaskJudgement
from quantseg.evaluation.levels import KEEPS, LOSES, LOSES_SOME, UNKNOWN
from quantseg.report.tables import percent
from quantseg.report.verdict.advice import Made, NextStep, is_slower, next_steps

TITLES = {
    KEEPS: "Keeps the masks",
    LOSES_SOME: "Loses some of the masks",
    LOSES: "Loses the masks",
    UNKNOWN: "Not judged",
}
"""Level → title."""
LABELS_LOST = "Loses accuracy"
"""Title where the labels alone say that it loses."""
SYMBOLS = {KEEPS: "✓", LOSES_SOME: "!", LOSES: "✗", UNKNOWN: "?"}
"""Level → symbol: the level is never told by colour alone."""
_NAMED = 6


@dataclass(frozen=True)
class Verdict:
    """A judgement in words. facts: (level, text), of the worst class and image and of the labels.

    by_labels: whether it is the labels alone that say that it loses: the masks are still much like the float ones.
    """

    level: str
    sentence: str
    facts: tuple[tuple[str, str], ...] = ()
    caveats: tuple[str, ...] = ()
    steps: tuple[NextStep, ...] = ()
    by_labels: bool = False

    @property
    def title(self) -> str:
        """What the level means."""
        return LABELS_LOST if self.by_labels else TITLES[self.level]

    @property
    def symbol(self) -> str:
        """One character for the level."""
        return SYMBOLS[self.level]

    def to_json(self) -> dict[str, Any]:
        """The words as plain values."""
        return {
            "title": self.title,
            "sentence": self.sentence,
            "facts": [text for _, text in self.facts],
            "caveats": list(self.caveats),
            "next": [{"command": step.command, "reason": step.reason} for step in self.steps],
        }


def worded(judged: MaskJudgement, made: Made, speed: float | None = None) -> Verdict:
    """The verdict of a judgement. made: how the model was made, which decides what to do next.

    speed: how many times as fast as float the int8 model is; None if it was not measured.
    """
    steps = next_steps(judged, made, speed)
    losing = {name for name, level in judged.levels.items() if level == LOSES}
    by_labels = judged.level == LOSES and losing <= {"points_lost", "most_lost"}
    slower = (f"It is {1 / speed:.1f} times slower than float here.",) if speed and is_slower(speed) else ()
    facts, caveats = tuple(_facts(judged)), (*slower, *_caveats(judged))
    return Verdict(judged.level, _sentence(judged), facts, caveats, steps, by_labels)


def unjudged(reason: str, command: str = "", why: str = "") -> Verdict:
    """The verdict where no image was judged. reason: a sentence. command, why: what judges them."""
    return Verdict(UNKNOWN, reason, steps=(NextStep(command, why),) if command else ())


def _sentence(judged: MaskJudgement) -> str:
    if judged.only is not None:
        what = f"{judged.only!r} on every pixel" if judged.only else "no class on any pixel"
        return f"The float model itself gives {what} of all {_images(judged.images)}: equal masks mean nothing here."
    kept = judged.levels["agreement"] == KEEPS
    agreement = f"The int8 masks agree with the float model's to {_below(judged.agreement, kept)} (mean IoU"
    wanted = "" if kept else f"; {percent(AGREEMENT.keeps)} or more would keep them"
    sentence = f"{agreement}, {_images(judged.images)}){wanted}"
    if judged.points_lost is None:
        return f"{sentence}."
    lost = f"{abs(judged.points_lost):.1f}"
    if lost == "0.0":
        return f"{sentence}; against the labels mIoU is the same within 0.1 points."
    if judged.points_lost < 0:
        return f"{sentence}; against the labels {lost} points of mIoU are gained."
    allowed = "" if judged.levels.get("points_lost", KEEPS) == KEEPS else f", more than the {POINTS.keeps} that pass"
    return f"{sentence}; against the labels {lost} points of mIoU are lost{allowed}."


def _below(agreement: float, kept: bool) -> str:
    """The agreement with one decimal; with two, rounded down, where one would show a bound that it misses."""
    close = not kept and percent(agreement) == percent(AGREEMENT.keeps)
    return f"{math.floor(10_000 * agreement) / 100:.2f} %" if close else percent(agreement)


def _facts(judged: MaskJudgement) -> Iterator[tuple[str, str]]:
    if judged.only is not None:
        return
    if judged.gone:
        yield LOSES, f"In no int8 mask at all: {_list(judged.gone)}."
    worst, image, most = judged.worst_class, judged.worst_image, judged.most_lost
    if worst is not None:
        share = "" if worst.share is None else f", on {percent(worst.share)} of the pixels"
        yield judged.levels["worst_class"], f"Worst class: {worst.name}, IoU {percent(worst.iou)} with float{share}."
    if image is not None:
        changed = f"{percent(image.changed_pixels)} of its pixels changed"
        figure = f"agreement {percent(image.agreement)}, {changed}"
        yield judged.levels["worst_image"], f"Worst image: {image.name}, {figure}."
    if most is not None and round(most.points, 1) > 0:
        yield judged.levels["most_lost"], f"Most lost against the labels: {most.name}, {most.points:.1f} points of IoU."


def _caveats(judged: MaskJudgement) -> Iterator[str]:
    if judged.seen:
        worse = "on others the masks may be worse" if judged.seen == judged.images else "they flatter the model"
        yield f"{judged.seen} of {judged.images} judged images were seen in calibration: {worse}."
    if judged.is_few and judged.seen != judged.images:
        yield f"Judged on {_images(judged.images)} only."
    if judged.absent and judged.only is None:
        many = f"{len(judged.absent)} of {judged.classes} classes are in no mask, so nothing is known of them"
        yield f"{many}: {_list(judged.absent)}."


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"
