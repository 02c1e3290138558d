"""A model tried on a few images with one preprocessing after another: what is wrong, and which fits best."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from quantseg.calibration.context import Context
from quantseg.data.heads import head_of
from quantseg.data.recipe import Recipe
from quantseg.data.samples import renamed
from quantseg.errors import ModelError
from quantseg.evaluation.checking import families, preprocessing, trials
from quantseg.evaluation.checking.early_layers import early_layers
from quantseg.evaluation.checking.holding import MASKS_OF_ANOTHER_SET, Held
from quantseg.evaluation.checking.labels import Likeness, likeness
from quantseg.evaluation.checking.outputs import findings_of_outputs, runs_at
from quantseg.evaluation.checking.preprocessing import Seen
from quantseg.evaluation.checking.trials import CheckedModel, PreprocessingTrial
from quantseg.evaluation.checking.values import ERROR, NOTE, WARNING, Finding, Guess, formula

IMAGES = 4
"""Images that the likeliest preprocessings are tried on; all are tried on one."""


def tried(subject: CheckedModel, held: Held, context: Context) -> tuple[list[Finding], Guess | None, int | None]:
    """Runs the model with one preprocessing after another: findings, the best one, and the number of classes."""
    recipe = subject.recipe
    tried = families.candidates(recipe.input) if subject.has_images else {families.AS_GIVEN: recipe.input}
    layers = early_layers(subject.model)
    try:
        listed = trials.fits(subject, layers, tried, 1, context)
        if not layers.norms:
            fair = [one for one in listed if Seen(one).is_balanced or one is listed[0]]
            listed = trials.with_outputs(subject, fair, 1, context)
        likely = {trial.name: trial.recipe for trial in preprocessing.shortlist(listed, subject.told)}
        ran = trials.with_outputs(subject, trials.fits(subject, layers, likely, IMAGES, context), IMAGES, context)
    except ModelError as error:
        return [_of_failure(subject, error, context)], None, class_count(recipe)
    truths = _truths(held, subject)
    liked = [None if truths is None else _likeness(trial, truths, recipe) for trial in ran]
    valid = any(one is not None and one.belong and one.share_numbers and one.accuracy >= 0.5 for one in liked)
    seen = [
        Seen(trial, like.accuracy if like is not None and valid else None)
        for trial, like in zip(ran, liked, strict=True)
    ]
    given, swapped = seen[0], next((one for one in seen if one.trial.name == families.SWAPPED), None)
    best = preprocessing.best_of(seen, subject.told)
    wrong = preprocessing.finding(given, best, swapped)
    if wrong is None and (subject.declared or best is given):
        best = given
    elif wrong is None:
        wrong = _undeclared(best.trial)
        best = best if preprocessing.is_likelier(best, subject.told) else given
    elif wrong.name == "channel-order" and swapped is not None and best is given:
        best = swapped
    findings = [] if wrong is None else [wrong]
    findings += findings_of_outputs(subject, given.trial, context)
    if not any(finding.name == MASKS_OF_ANOTHER_SET for finding in held.findings):
        findings += _of_masks(liked[seen.index(best)])
    guess = preprocessing.guess(given, best, seen, recipe) if subject.has_images else None
    return findings, guess, _counted(ran[0], recipe)


def _undeclared(best: PreprocessingTrial) -> Finding:
    fact = f"no preprocessing is declared, and {formula(best.recipe)} fits as well as 0…1"
    return Finding("undeclared", NOTE, fact, "look up which of them the model was trained with")


def _of_masks(like: Likeness | None) -> list[Finding]:
    """What is wrong with the masks, seen with the preprocessing that fits best."""
    if like is None or (like.belong and like.share_numbers):
        return []
    figures = {"accuracy": like.accuracy, "renamed": like.renamed, "own": like.own, "other": like.other}
    if not like.belong:
        other = "" if like.other is None else f", and {like.other:.0%} with those of other images"
        fact = f"predictions share {like.own:.0%} of their information with the masks{other}: masks of another set"
        remedy = "look whether masks and images belong together"
    else:
        fact = (
            f"{like.accuracy:.0%} of the pixels are right, and {like.renamed:.0%} were if the ids had other numbers: "
            "masks of another set"
        )
        remedy = "give the classes in the order of the model's channels"
    return [Finding(MASKS_OF_ANOTHER_SET, WARNING, fact, remedy, figures)]


def _of_failure(subject: CheckedModel, error: ModelError, context: Context) -> Finding:
    """The finding where the model does not run on an image: of the size, if it runs at one that it divides."""
    other = runs_at(subject, context)
    if other is None:
        return Finding("does-not-run", ERROR, str(error), "mend the model or the recipe")
    size = "x".join(map(str, subject.recipe.input.size or ()))
    better = "x".join(map(str, other))
    fact = f"the model does not run at {size}, which it does not divide; it runs at {better}"
    return Finding("size", ERROR, fact, f"give size={better}", {"given": subject.recipe.input.size, "better": other})


def _truths(held: Held, subject: CheckedModel) -> list[NDArray[Any]] | None:
    """Masks of the items, as class ids; None where there are none, or the head's masks overlap."""
    samples, output = held.samples, subject.recipe.output
    if samples is None or not held.facts.masks or head_of(output).overlapping:
        return None
    rows = {row.name: row for row in samples.rows if row.mask_place is not None}
    if any(item.name not in rows for item in subject.items):
        return None
    truths = [renamed(rows[item.name].mask(), samples.void, output.ignore_index) for item in subject.items]
    return truths if all(one.ndim == 2 for one in truths) else None


def _likeness(trial: PreprocessingTrial, truths: Sequence[NDArray[Any]], recipe: Recipe) -> Likeness | None:
    if trial.outputs is None or len(trial.outputs.masks) != len(truths):
        return None
    return likeness(trial.outputs.masks, truths, max(len(recipe.output.classes), 1), recipe.output.ignore_index)


def class_count(recipe: Recipe) -> int | None:
    """The number of classes that the recipe tells, None where it tells none."""
    return len(recipe.output.classes) or None


def _counted(trial: PreprocessingTrial, recipe: Recipe) -> int | None:
    """The number of classes by the recipe, else by the largest id that was seen."""
    known = class_count(recipe)
    if known is not None or trial.outputs is None:
        return known
    return int(max(trial.outputs.shares, default=-1)) + 1 or None
