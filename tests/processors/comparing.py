"""Models on every processor of the bench, beside exact sums: masks that agree, integers that differ."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.data import Dataset
from quantseg.evaluation import Evaluation, evaluate
from quantseg.recipe import Recipe, TensorSpec, image_input
from tests.processors import exposing
from tests.processors.effect import EXACT, pair_model
from tests.processors.exposing import Count, Exposed
from tests.processors.packages import UnavailableError
from tests.processors.running import Task, available, run, run_all
from tests.processors.table import PROCESSORS

Array = NDArray[Any]
Made = Sequence[Mapping[str, Array]]
"""What a model made, by output, for each image."""


@dataclass(frozen=True)
class Replayed:
    """A session whose answers are known: each `run` gives those of the next image."""

    inputs: tuple[TensorSpec, ...]
    made: Made
    outputs: tuple[TensorSpec, ...] = ()
    _taken: list[int] = field(default_factory=list)

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """The named outputs, or all."""
        found = self.made[len(self._taken)]
        self._taken.append(1)
        return [found[name] for name in outputs or found]

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class Subject:
    """A quantised model with images. recipe: completed. inputs: the model's."""

    name: str
    model: ir.Model
    images: Dataset
    recipe: Recipe
    inputs: tuple[TensorSpec, ...]

    @property
    def feeds(self) -> list[dict[str, Array]]:
        """What the model is fed for each image."""
        name = image_input(self.inputs, self.recipe.input).name
        return [{name: self.images.load(index).tensor} for index in range(len(self.images.names))]

    def judged(self, reference: Made, made: Made) -> Evaluation:
        """The masks of one run beside those of another."""
        return evaluate(Replayed(self.inputs, reference), Replayed(self.inputs, made), self.images, self.recipe)


@dataclass(frozen=True)
class Row:
    """One model on one processor. agreement: mean IoU with the masks of exact sums; exact, behind: see `differing`."""

    model: str
    processor: str
    agreement: float
    exact: Count
    behind: Count


def saturates(name: str) -> bool:
    """Whether a processor adds two products of u8·s8 in 16 bits, as it does. Raises UnavailableError."""
    (made,) = run(name, pair_model(), [{"a": np.full((16, 16), 255, np.uint8)}])
    return bool((made["y"] != EXACT).any())


def exact_processor() -> str:
    """This machine where its sums are exact, else the first that is to be had. Raises UnavailableError."""
    for name, processor in PROCESSORS.items():
        if processor.saturates is not True and available(name) is None and not saturates(name):
            return name
    raise UnavailableError("no processor with exact sums is to be had")


def everywhere(tasks: Sequence[Task], names: Sequence[str], *, workers: int) -> dict[str, tuple[Sequence[Made], float]]:
    """For each processor what the tasks made and the seconds that took; so many at a time, the slow ones first."""

    def timed(name: str) -> tuple[Sequence[Made], float]:
        start = time.monotonic()
        return run_all(name, tasks), time.monotonic() - start

    order = sorted(names, key=lambda name: PROCESSORS[name].native)
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(order, pool.map(timed, order), strict=True))


def compared(
    subjects: Sequence[Subject], names: Sequence[str], *, workers: int = 2
) -> tuple[list[Row], dict[str, float]]:
    """Each model on each processor beside exact sums, and each processor's seconds. Raises UnavailableError."""
    reference = exact_processor()
    made = [exposing.exposed(subject.model) for subject in subjects]
    tasks = [Task(one.model, subject.feeds) for one, subject in zip(made, subjects, strict=True)]
    found = everywhere(tasks, list(dict.fromkeys((reference, *names))), workers=workers)
    rows = [
        _row(subject, name, one, found[reference][0][place], found[name][0][place])
        for place, (subject, one) in enumerate(zip(subjects, made, strict=True))
        for name in names
    ]
    return rows, {name: found[name][1] for name in names}


def _row(subject: Subject, name: str, made: Exposed, reference: Made, other: Made) -> Row:
    exact, behind = Count(), Count()
    for mine, its in zip(reference, other, strict=True):
        counts = exposing.differing(mine, its, made)
        exact, behind = exact + counts[0], behind + counts[1]
    return Row(subject.name, name, subject.judged(reference, other).agreement, exact, behind)


def given_equal_inputs(subject: Subject, names: Sequence[str], *, workers: int = 2) -> dict[str, Count]:
    """Integers that differ from exact sums' in each node alone, each fed with exact sums' integers."""
    reference, whole = exact_processor(), exposing.exposed(subject.model)
    known = run(reference, whole.model, subject.feeds)
    cuts = [exposing.severed(subject.model, made) for made in known]
    tasks = [Task(cut, [feeds | fed]) for (cut, fed), feeds in zip(cuts, subject.feeds, strict=True)]
    found = everywhere(tasks, names, workers=workers)
    return {
        name: sum((_alone(mine, its[0], whole) for mine, its in zip(known, found[name][0], strict=True)), Count())
        for name in names
    }


def _alone(mine: Mapping[str, Array], its: Mapping[str, Array], made: Exposed) -> Count:
    exact, behind = exposing.differing(mine, its, made)
    return exact + behind
