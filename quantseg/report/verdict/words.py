"""A judgement in words: title and symbol of its level, one sentence, facts with their levels, caveats, next steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from quantseg.evaluation.judgement import AGREEMENT, POINTS, MaskJudgement
from quantseg.evaluation.levels import KEEPS, LOSES, LOSES_SOME, UNKNOWN
from quantseg.report.tables import percent
from quantseg.report.verdict.advice import Made, NextStep, is_slower, next_steps
from quantseg.report.verdict.instances import below, instance_facts, instance_sentence

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
    what: is judged, masks or instances.
    """

    level: str
    sentence: str
    facts: tuple[tuple[str, str], ...] = ()
    caveats: tuple[str, ...] = ()
    steps: tuple[NextStep, ...] = ()
    by_labels: bool = False
    what: str = "masks"

    @property
    def title(self) -> str:
        """What the level means."""
        return LABELS_LOST if self.by_labels else TITLES[self.level].replace("masks", self.what)

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
    by_labels = judged.level == LOSES and losing <= {"points_lost", "most_lost", "ap_lost"}
    slower = (f"It is {1 / speed:.1f} times slower than float here.",) if speed and is_slower(speed) else ()
    caveats, found = (*slower, *_caveats(judged)), judged.instances
    if found is not None:
        told = instance_sentence(judged, found), tuple(instance_facts(judged, found))
        return Verdict(judged.level, *told, caveats, steps, by_labels, "instances")
    return Verdict(judged.level, _sentence(judged), tuple(_facts(judged)), caveats, steps, by_labels)


def unjudged(reason: str, command: str = "", why: str = "") -> Verdict:
    """The verdict where no image was judged. reason: a sentence. command, why: what judges them."""
    return Verdict(UNKNOWN, reason, steps=(NextStep(command, why),) if command else ())


def _sentence(judged: MaskJudgement) -> str:
    if judged.only is not None:
        what = f"{judged.only!r} on every pixel" if judged.only else "no class on any pixel"
        return f"The float model itself gives {what} of all {_images(judged.images)}: equal masks mean nothing here."
    kept = judged.levels["agreement"] == KEEPS
    agreement = f"The int8 masks agree with the float model's to {below(judged.agreement, AGREEMENT, kept)} (mean IoU"
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
        what = "masks" if judged.instances is None else "instances"
        worse = f"on others the {what} may be worse" if judged.seen == judged.images else "they flatter the model"
        yield f"{judged.seen} of {judged.images} judged images were seen in calibration: {worse}."
    if judged.instances is not None and judged.instances.note:
        yield f"{judged.instances.note}."
    if judged.is_few and judged.seen != judged.images:
        yield f"Judged on {_images(judged.images)} only."
    if judged.absent and judged.only is None:
        found = "in no mask" if judged.instances is None else "found nowhere"
        many = f"{len(judged.absent)} of {judged.classes} classes are {found}, so nothing is known of them"
        yield f"{many}: {_list(judged.absent)}."


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"
