"""The accuracy budget: how many points of mIoU may be lost, and for single classes how many points of their IoU."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from quantseg.errors import RecipeError
from quantseg.mixed_precision.budget.points import Point


@dataclass(frozen=True)
class BudgetLoss:
    """A loss that has a budget. what: its name, such as mIoU. points: how many are lost. allowed: how many may be."""

    what: str
    points: float
    allowed: float

    @property
    def excess(self) -> float:
        """By how many points the loss is over what is allowed; negative below."""
        return self.points - self.allowed


@dataclass(frozen=True)
class Budget:
    """mean: most points (hundredths) of mIoU that may be lost. classes: name → most points of that class's IoU.

    Raises RecipeError for a number that is negative or not finite.
    """

    mean: float
    classes: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, points in (("max_iou_drop", self.mean), *(("max_class_drop", p) for p in self.classes.values())):
            if not (math.isfinite(points) and points >= 0):
                raise RecipeError(f"{name}={points:g}: is no loss; give points of IoU, 0 or more")

    def tightest(self, point: Point) -> BudgetLoss:
        """The loss that is most over its budget, or if none is, nearest to it."""
        losses = [BudgetLoss("mIoU", point.drop, self.mean)]
        losses += [
            BudgetLoss(f"IoU of {name!r}", point.class_drops[name], allowed) for name, allowed in self.classes.items()
        ]
        return max(losses, key=lambda loss: loss.excess)

    def excess(self, point: Point) -> float:
        """By how many points the tightest loss is over its budget; 0 or less within the budget."""
        return self.tightest(point).excess

    def holds(self, point: Point) -> bool:
        """Whether the point is within the budget."""
        return self.excess(point) <= 0

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"max_iou_drop": self.mean, "max_class_drop": dict(self.classes)}


def read_budget(mean: float, words: Sequence[str], names: Sequence[str]) -> Budget:
    """Parses a budget. mean: points of mIoU.

    words: CLASS=POINTS each; the class by its name (upper and lower case are the same) or by its index. names: of the
    model's classes, in their order. Raises RecipeError for a word of another form, an unknown class, and a class named
    twice.
    """
    classes: dict[str, float] = {}
    for word in words:
        name, points = _read(word, names)
        if name in classes:
            raise RecipeError(f"max_class_drop={word!r}: class {name!r} has a budget already; give one")
        classes[name] = points
    return Budget(mean, classes)


def _read(word: str, names: Sequence[str]) -> tuple[str, float]:
    asked, separator, number = (part.strip() for part in word.rpartition("="))
    try:
        points = float(number)
    except ValueError:
        points = math.nan
    if not (separator and asked and math.isfinite(points)):
        raise RecipeError(f"max_class_drop={word!r}: give CLASS=POINTS, such as {names[-1]}=1.0")
    alike = [name for name in names if name == asked] or [n for n in names if n.casefold() == asked.casefold()]
    if len(alike) == 1:
        return alike[0], points
    if asked.isdecimal() and int(asked) < len(names):
        return names[int(asked)], points
    raise RecipeError(f"max_class_drop={word!r}: the model has no class {asked!r}; its classes are {_listed(names)}")


def _listed(names: Sequence[str]) -> str:
    """The first twelve names and the number of the others, to keep the message short."""
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
