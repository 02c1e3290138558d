"""What a command is doing, in words: stage i of n, the items of its loop, and the time that is left.

A `Display` is the Track of the command line. It counts and prints nothing; `screen.py` asks it for its line. A loop
whose name is a stage of the command, and none that has passed, begins that stage; any other is a detail of the stage
that is under way. The time left in a stage follows from its items, that of stages to come from their work (passes over
the images, in multiply-accumulates) and the pace so far.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from quantseg.errors import printable

if TYPE_CHECKING:
    from quantseg.progress import Stage

T = TypeVar("T")

READ, WORK = "read the model", "working"
"""What a command with stages does before its first loop, and any other one."""


@dataclass
class _Loop:
    what: str
    total: int
    began: float
    done: int = 0


class Display:
    """The stages and loops of one command. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._loops: list[_Loop] = []
        self.plan()

    def plan(self, *names: str, title: str = "") -> None:
        """Begins a command. names: its stages, in their order; none where it is one loop. title: of its line."""
        self._names, self._works, self._title = names, dict[str, float](), title
        self._stage, self._entered, self._name = -1, {-1: self._clock()}, READ if names else WORK

    def expect(self, stages: "Sequence[Stage]") -> None:
        """Takes the work of those stages that the command has; one that is not among them is left out by now."""
        self._works |= {stage.what: stage.work for stage in stages}

    def __call__(self, items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        """The items, counted as they are done."""
        return self._counted(items, _Loop(what, total, 0.0))

    def _counted(self, items: Iterable[T], loop: _Loop) -> Iterator[T]:
        loop.began = self._clock()
        now = max(self._stage, 0)
        if loop.what in self._names[now:]:
            place = self._names.index(loop.what, now)
            self._entered.setdefault(place, loop.began)
            self._stage, self._name = place, loop.what
        elif not self._names:
            self._name, self._entered = loop.what, {-1: loop.began}
        self._loops = [*self._loops, loop]
        try:
            for item in items:
                yield item
                loop.done += 1
        finally:
            self._loops = [one for one in self._loops if one is not loop]

    @property
    def share(self) -> float | None:
        """The share of the work that is done: of the time, or of the stages where nothing tells how long they take."""
        rest, later = self._left()
        passed = self._clock() - min(self._entered.values())
        if later is None:
            return None if self._stage < 0 else (self._stage + self._share_of_stage()[0]) / len(self._names)
        return None if rest is None else passed / (passed + rest + later) if passed + rest + later else 0.0

    def line(self) -> str:
        """One line: [2/7] round weights: 13 of 40, about 50 s left."""
        loops, (rest, later) = self._loops, self._left()
        number = f"[{self._stage + 1}/{len(self._names)}] " if self._stage >= 0 else ""
        within = [loop for loop in loops if loop.what != self._name and loop.total > 1]
        shown = within[-1] if within else next((loop for loop in loops if loop.total > 1), None)
        detail = f", {within[-1].what}" if within else ""
        count = f": {shown.done} of {shown.total}" if shown and shown.done < shown.total else ""
        if rest is None:
            when = f"{_told(self._clock() - self._entered[self._stage])} so far"
        else:
            when = f"about {_told(rest + (later or 0.0))} left{' in this stage' if later is None else ''}"
        return printable(f"{self._title and f'{self._title}: '}{number}{self._name}{detail}{count}, {when}")

    def _left(self) -> tuple[float | None, float | None]:
        """The seconds that are left in this stage, and in all later ones; None where nothing tells them."""
        now, names, place = self._clock(), self._names, self._stage
        share, own = self._share_of_stage()
        rest = own * (1 - share) / share if share else None
        if place < 0:
            return (None, None) if names else (rest, 0.0)
        begun = [at for at in self._entered if 0 <= at < place]
        passed = math.fsum(self._works.get(names[at], 0.0) for at in begun)
        before = self._entered[place] - min(self._entered[at] for at in (*begun, place))
        here, work = now - self._entered[place], self._works.get(names[place], 0.0)
        if passed and work:
            rest = max(rest or 0.0, work * before / passed - here)
        to_come = [self._works.get(name) for name in names[place + 1 :]]
        known = passed + (work * here / (here + rest) if rest is not None and here + rest > 0 else 0.0)
        if not to_come:
            return rest, 0.0
        if not known or None in to_come:
            return rest, None
        return rest, math.fsum(one or 0.0 for one in to_come) * (before + here) / known

    def _share_of_stage(self) -> tuple[float, float]:
        """The share of the stage's loop that is done, loops in it counted with it, and the seconds that it took."""
        mine = [index for index, loop in enumerate(self._loops) if loop.what == self._name]
        if not mine:
            return 0.0, 0.0
        share = 0.0
        for loop in reversed(self._loops[mine[0] :]):
            share = min((loop.done + share) / loop.total, 1.0) if loop.total else 0.0
        return share, self._clock() - self._loops[mine[0]].began


def _told(seconds: float) -> str:
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    return f"{max(5 * round(seconds / 5), 5)} s" if seconds >= 10 else f"{max(round(seconds), 1)} s"
