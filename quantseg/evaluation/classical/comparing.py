"""Composes the comparison: rules are learnt from some images, and all are judged and timed on the others."""

import logging
from dataclasses import replace
from pathlib import Path

from quantseg.calibration.context import Context
from quantseg.data import Dataset
from quantseg.data.heads import head_of
from quantseg.data.recipe import Recipe
from quantseg.evaluation.agreement import Pair
from quantseg.evaluation.classical.baselines import (
    FLOAT,
    INT8,
    Baseline,
    Baselines,
    Rules,
    judge,
    learn,
    on_part,
    parted,
)
from quantseg.evaluation.classical.segments import require_classical
from quantseg.evaluation.classical.timing import milliseconds
from quantseg.progress import under_way
from quantseg.runtimes.on_disk import file_bytes

log = logging.getLogger(__name__)


def compare_classical(pair: Pair, data: Dataset, recipe: Recipe, context: Context, *, rounds: int = 5) -> Baselines:
    """Classical methods beside a float and an int8 model, on one labelled data set.

    The rules are learnt from a few of its images, evenly spread, and everything is judged on the others. recipe:
    completed. rounds: of timing. Where the data do not allow it, the reason stands in `left_out`. Raises
    MissingExtraError without the extra, ModelError and DataError as an evaluation does.
    """
    require_classical()
    parts = parted(data, recipe)
    if isinstance(parts, str):
        log.warning("no classical methods: %s", parts)
        return Baselines(left_out=parts)
    learning, judged = parts
    with under_way(context.track, "classical methods"):
        rules = learn(learning, recipe, track=context.track)
        found = judged_beside(rules, on_part(pair, judged), judged, recipe, context, rounds=rounds)
    return replace(found, learnt_from=len(learning.names))


def judged_beside(
    rules: Rules, pair: Pair, data: Dataset, recipe: Recipe, context: Context, *, rounds: int
) -> Baselines:
    """Both networks and every method that has a rule, judged and timed. data: labelled; none was learnt from."""
    counts = judge(rules, pair, data, recipe, context)
    taken = milliseconds(rules, pair, data, recipe, rounds=rounds, track=context.track)
    sizes = {FLOAT: _size(pair.reference), INT8: _size(pair.candidate)}
    sizes |= {name: rule.size for name, rule in rules.items()}
    rows = tuple(
        replace(Baseline.of(name, counted, sizes[name]), median_ms=taken[name], ratio=taken[FLOAT] / taken[name])
        for name, counted in counts.items()
    )
    classes = max(len(row.iou) for row in rows)
    rows = tuple(row.with_classes(classes) for row in rows)
    names = head_of(recipe.output).class_names(recipe.output.classes, classes)
    seen = {one for rule in rules.values() for one in rule.seen}
    unseen = tuple(name for one, name in enumerate(names) if one not in seen)
    return Baselines(names, images=len(data.names), rows=rows, unseen=unseen)


def _size(model: Path | bytes) -> int:
    return file_bytes(model) if isinstance(model, Path) else len(model)
