"""Levels of a judgement, the best first, and the bounds that turn a figure into a level."""

from collections.abc import Mapping
from dataclasses import dataclass

KEEPS, LOSES_SOME, LOSES = LEVELS = ("keeps", "loses some", "loses")
"""The levels, the best first."""
UNKNOWN = "unknown"
"""The level where nothing can be told from these images."""


@dataclass(frozen=True)
class LevelBounds:
    """keeps: at or within it masks are kept. loses: beyond it they are lost. falling: whether less is worse."""

    keeps: float
    loses: float
    falling: bool = True

    def level(self, value: float) -> str:
        """The level of a figure."""
        sign = 1 if self.falling else -1
        if sign * value < sign * self.loses:
            return LOSES
        return LOSES_SOME if sign * value < sign * self.keeps else KEEPS


def at_most_some(level: str) -> str:
    """The level, LOSES turned into LOSES_SOME."""
    return LOSES_SOME if level == LOSES else level


def overall(levels: Mapping[str, str], by_labels: tuple[str, ...]) -> str:
    """The worst of the levels by figure.

    by_labels: the figures that come from labels: where they show no loss, what changed is at most LOSES_SOME.
    """
    told = [levels[key] for key in by_labels if key in levels]
    worst = max(levels.values(), key=LEVELS.index)
    return at_most_some(worst) if told and set(told) == {KEEPS} else worst
