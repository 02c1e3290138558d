"""Which preprocessing fits a model best, and what is wrong with the one that was given.

Evidence, the strongest first: the statistics of training that BatchNormalizations keep; masks beside the images; how
large the pixels' part of the first convolution is beside its bias; how sure the model is of its masks.
The thresholds were set on the reference models and four public ones; tests/bench/checks.py measures what they name.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantseg.data.recipe import InputRecipe, Recipe
from quantseg.evaluation.checking import families
from quantseg.evaluation.checking.trials import PreprocessingTrial
from quantseg.evaluation.checking.values import WARNING, Finding, Guess, formula

FITS = 1.0
"""A distance of the early layers above this is unusual for right preprocessing."""
FAR = 2.0
"""So many times farther than another preprocessing is wrong."""
ORDER = 1.25
"""By so much the distance grows, at least, where red and blue are exchanged."""
BALANCED = (0.03, 10.0)
"""The balance of a first convolution without BatchNormalization behind it; outside, the scale is wrong."""
SURER, MORE_RIGHT = 0.04, 0.03
"""Differences of sureness, and of the share of right pixels, that count as much as ORDER."""
ENOUGH = 1.5
"""So much evidence, in these units, names a channel order."""
_SCALES = 16.0
"""A gain so many times larger or smaller is a matter of scale, not of mean and std."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A trial and, where masks belong to the images, its share of right pixels."""

    trial: PreprocessingTrial
    accuracy: float | None = None

    @property
    def sureness(self) -> float | None:
        """See Outputs; None where the whole model was not run."""
        return None if self.trial.outputs is None else self.trial.outputs.sureness

    @property
    def kinds(self) -> int:
        """The number of classes in the masks; 0 where the whole model was not run."""
        return 0 if self.trial.outputs is None else len(self.trial.outputs.shares)

    @property
    def is_balanced(self) -> bool:
        """Whether the first convolution says nothing against the scale."""
        balance = self.trial.fit.balance
        return balance is None or BALANCED[0] <= balance <= BALANCED[1]


def shortlist(trials: Sequence[PreprocessingTrial], told: str) -> list[PreprocessingTrial]:
    """As given, red and blue exchanged, and the families that fit best: one, or where only outputs tell, two.

    told: texts with signs of the family.
    """
    named = [trial for trial in trials if trial.name in (families.AS_GIVEN, families.SWAPPED)]
    rest = sorted((Seen(trial) for trial in trials if trial not in named), key=lambda one: _score(one, told))
    most = 1 if trials[0].fit.distance is not None else 2
    return [*named, *(one.trial for one in reversed(rest[-most:]))]


def best_of(seen: Sequence[Seen], told: str) -> Seen:
    """The trial that fits best; the first of equal ones."""
    return max(seen, key=lambda one: _score(one, told))


def finding(given: Seen, best: Seen, swapped: Seen | None) -> Finding | None:
    """What is wrong with the given preprocessing, by name; None where nothing is, or nothing is sure."""
    if best is not given and _is_far(given, best):
        return _named(given, best)
    if swapped is not None and evidence_of_order(given, swapped) >= ENOUGH:
        return _named(given, swapped)
    return None


def is_likelier(best: Seen, told: str) -> bool:
    """Whether a preprocessing that fits best, though not by far, is likelier than the usual 0…1.

    It is where early layers were measured, and where a sign of its family was seen; how sure the model is of its masks
    alone does not decide. told: texts with signs of the family.
    """
    return best.trial.fit.distance is not None or families.hinted(best.trial.recipe, told)


def evidence_of_order(given: Seen, swapped: Seen) -> float:
    """How much speaks for red and blue exchanged, in units of which ENOUGH are enough; below 0 against it."""
    one, other = given.trial.fit.distance, swapped.trial.fit.distance
    total, most = 0.0, 2.0
    if one is not None and other is not None:
        total, most = math.log(one / other) / math.log(ORDER), 1.0
    if given.sureness is not None and swapped.sureness is not None:
        total += _within((swapped.sureness - given.sureness) / SURER, most)
    if given.accuracy is not None and swapped.accuracy is not None:
        total += _within((swapped.accuracy - given.accuracy) / MORE_RIGHT, 3.0)
    return total


def guess(given: Seen, best: Seen, others: Sequence[Seen], recipe: Recipe) -> Guess:
    """The best preprocessing as a recipe. others: what it was chosen from."""
    chosen = Recipe(best.trial.recipe, recipe.output)
    name = families.family_of(best.trial.recipe) or ("as given" if best is given else best.trial.name)
    rivals = tuple(
        families.family_of(one.trial.recipe) or one.trial.name
        for one in others
        if one is not best and not _is_far(one, best) and _order_is_open(one, best)
    )
    distance = best.trial.fit.distance
    sure = not rivals and (best.accuracy is not None or (distance is not None and distance <= FITS))
    return Guess(name, chosen, sure, (_told(best), *([] if best is given else [f"as given: {_told(given)}"])), rivals)


def _score(one: Seen, told: str) -> tuple[float, float]:
    """Larger is better. Labels and early layers decide; without them the balance and how sure the model is."""
    distance = one.trial.fit.distance
    if distance is not None:
        sure = one.sureness or 0.0
        right = 0.0 if one.accuracy is None else one.accuracy / MORE_RIGHT
        return (right - 3 * math.log(max(distance, 1e-3)) / math.log(FAR) + sure, 0.0)
    hint = 0.05 if families.hinted(one.trial.recipe, told) else 0.0
    several = 1.0 if one.kinds > 1 else 0.0
    right = 0.0 if one.accuracy is None else one.accuracy
    return (float(one.is_balanced) + several + right + (one.sureness or 0.0) + hint, hint)


def _is_far(given: Seen, best: Seen) -> bool:
    """Whether the given preprocessing is wrong for sure, another one being so much better."""
    here, there = given.trial.fit.distance, best.trial.fit.distance
    if here is not None and there is not None:
        return here >= FITS and here >= FAR * there
    if not given.is_balanced:
        return best.is_balanced
    if given.kinds == 1 and best.kinds > 2:
        return True
    if given.accuracy is not None and best.accuracy is not None and best.accuracy - given.accuracy < MORE_RIGHT:
        return False
    return (best.sureness or 0.0) - (given.sureness or 0.0) > ENOUGH * SURER


def _order_is_open(one: Seen, best: Seen) -> bool:
    """Whether a preprocessing that differs in the channel order alone is not ruled out."""
    if one.trial.recipe.channels == best.trial.recipe.channels:
        return True
    return evidence_of_order(one, best) < ENOUGH


def _named(given: Seen, best: Seen) -> Finding:
    """The finding, by what differs most."""
    wrong, right = given.trial.recipe, best.trial.recipe
    ratio = families.gain(wrong) / families.gain(right)
    left_out = not any(wrong.mean) and all(one == 1 for one in wrong.std)
    if left_out and _same_scale(wrong, right) and (any(right.mean) or any(one != 1 for one in right.std)):
        name = "mean-and-std"
    elif not 1 / _SCALES < ratio < _SCALES:
        name = "scale"
    elif wrong.channels != right.channels:
        name = "channel-order"
    else:
        name = "mean-and-std"
    fact = f"{formula(wrong)} does not fit, {formula(right)} does ({_compared(given, best)})"
    figures = {"given": _figures(given), "better": _figures(best)}
    return Finding(name, WARNING, fact, f"give {flags(wrong, right)}", figures)


def flags(wrong: InputRecipe, right: InputRecipe) -> str:
    """The parameters that turn one preprocessing into the other."""
    changed = []
    if wrong.channels != right.channels:
        changed.append(f"channels={right.channels}")
    if wrong.scale != right.scale:
        changed.append(f"scale={right.scale:.6g}")
    for key, one, other in (("mean", wrong.mean, right.mean), ("std", wrong.std, right.std)):
        if one != other:
            changed.append(f"{key}={','.join(f'{value:.6g}' for value in other)}")
    return " ".join(changed)


def _same_scale(one: InputRecipe, other: InputRecipe) -> bool:
    return math.isclose(one.scale, other.scale, rel_tol=0.02)


def _compared(given: Seen, best: Seen) -> str:
    """The evidence that decides, in words."""
    pairs = (
        ("distance of the early layers", given.trial.fit.distance, best.trial.fit.distance, ".2g"),
        ("pixels right", given.accuracy, best.accuracy, ".0%"),
        ("pixels in the first convolution beside its bias", given.trial.fit.balance, best.trial.fit.balance, ".2g"),
        ("sureness", given.sureness, best.sureness, ".2f"),
    )
    told = [f"{what} {new:{form}} instead of {old:{form}}" for what, old, new, form in pairs if None not in (old, new)]
    return "; ".join(told[:2])


def _told(one: Seen) -> str:
    """The evidence in words."""
    fit, words = one.trial.fit, []
    if fit.distance is not None:
        words.append(f"early layers at distance {fit.distance:.2g}")
    if fit.balance is not None:
        words.append(f"first convolution: pixels {fit.balance:.2g} times the bias")
    if one.sureness is not None:
        words.append(f"sureness {one.sureness:.2f}")
    if one.accuracy is not None:
        words.append(f"{one.accuracy:.1%} of the pixels right")
    return ", ".join(words) or "nothing to judge by"


def _figures(one: Seen) -> Mapping[str, float | None]:
    fit = one.trial.fit
    return {
        "distance": fit.distance, "shift": fit.shift, "spread": fit.spread, "balance": fit.balance,
        "sureness": one.sureness, "accuracy": one.accuracy,
    }  # fmt: skip


def _within(value: float, most: float) -> float:
    return max(-most, min(most, value))
