"""The judgement of a model of instances in words: one sentence, and facts with their levels."""

import math
from collections.abc import Iterator

from quantseg.evaluation.instance_judgement import AP_POINTS, KEPT, InstanceJudgement
from quantseg.evaluation.judgement import MaskJudgement
from quantseg.evaluation.levels import KEEPS, LevelBounds
from quantseg.evaluation.metrics.instances import LOOSE, TIGHT
from quantseg.report.tables import percent


def instance_sentence(judged: MaskJudgement, found: InstanceJudgement) -> str:
    """What the int8 model does with the float model's instances, and what the labels say."""
    where = f"{judged.images} image{'s' if judged.images != 1 else ''}"
    if found.kept is None:
        return f"The float model itself finds no instance in all {where}: there is nothing to keep."
    kept = found.levels["kept"] == KEEPS
    sentence = (
        f"The int8 model finds {below(found.kept, KEPT, kept)} of the float model's {found.reference} instances "
        f"(mask IoU {LOOSE} or more, {where}), {percent(found.closely)} with nearly the same outline (IoU {TIGHT})"
    )
    if not kept:
        sentence += f"; {percent(KEPT.keeps)} or more would keep them"
    if found.ap_lost is None:
        return f"{sentence}."
    lost = f"{abs(found.ap_lost):.1f}"
    if lost == "0.0":
        return f"{sentence}; against the labels mask AP is the same within 0.1 points."
    if found.ap_lost < 0:
        return f"{sentence}; against the labels {lost} points of mask AP are gained."
    passes = found.levels["ap_lost"] == KEEPS
    allowed = "" if passes else f", more than the {AP_POINTS.keeps} that pass"
    if not passes and lost == f"{AP_POINTS.keeps:.1f}":
        lost = f"{found.ap_lost:.2f}"
    return f"{sentence}; against the labels {lost} points of mask AP are lost{allowed}."


def instance_facts(judged: MaskJudgement, found: InstanceJudgement) -> Iterator[tuple[str, str]]:
    """(level, text) of what came and went, of the worst class and of the worst image."""
    if found.kept is None:
        return
    if judged.gone:
        yield found.levels["kept"], f"Not found at all by the int8 model: {', '.join(judged.gone[:6])}."
    if found.gained:
        what = f"{found.gained} of its {found.candidate} instances {'has' if found.gained == 1 else 'have'} no partner"
        yield found.levels["gained"], f"Gained: {what} in the float model's."
    worst, image = found.worst_class, found.worst_image
    if worst is not None and worst.kept < 1:
        text = f"Worst class: {worst.name}, {percent(worst.kept)} of {worst.count} instances kept."
        yield found.levels["worst_class"], text
    if image is not None:
        yield KEEPS, f"Worst image: {image.name}, {image.lost} lost, {image.gained} gained."


def below(value: float, bounds: LevelBounds, kept: bool) -> str:
    """A share with one decimal; with two, rounded down, where one would show a bound that it misses."""
    close = not kept and percent(value) == percent(bounds.keeps)
    return f"{math.floor(10_000 * value) / 100:.2f} %" if close else percent(value)
