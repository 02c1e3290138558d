"""Models on every processor of the bench, beside exact sums: masks that agree, integers that differ."""

import functools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.data import Dataset
from quantseg.graph import TensorSpec
from quantseg.data.recipe import Recipe, image_input
from quantseg.evaluation.agreement import Evaluation, evaluate
from quantseg.graph import to_bytes
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
    """One model on one processor. agreement: mean IoU with the masks of exact sums; exact, borders: see `differing`."""

    model: str
    processor: str
    agreement: float
    exact: Count
    borders: Count


def saturates(name: str) -> bool:
    """Whether a processor adds two products of u8·s8 in 16 bits, as it does. Raises UnavailableError."""
    (made,) = run(name, pair_model(), [{"a": np.full((16, 16), 255, np.uint8)}])
    return bool((made["y"] != EXACT).any())


@functools.cache
def exact_processor() -> str:
    """This machine where its sums are exact, else the first that is to be had. Raises UnavailableError."""
    for name, processor in PROCESSORS.items():
        if processor.saturates is not True and available(name) is None and not saturates(name):
            return name
    raise UnavailableError("no processor with exact sums is to be had")


def everywhere(
    tasks: Sequence[Task], names: Sequence[str], *, workers: int, failed: dict[str, str] | None = None
) -> dict[str, tuple[Sequence[Made], float]]:
    """For each processor what the tasks made and the seconds that took; so many at a time, the slow ones first.

    failed: takes the processors on which a task fails, with what was said; without it that is a RuntimeError.
    """

    def timed(name: str) -> tuple[Sequence[Made], float] | None:
        start = time.monotonic()
        try:
            return run_all(name, tasks), time.monotonic() - start
        except RuntimeError as error:
            if failed is None:
                raise
            failed[name] = str(error)
            return None

    order = sorted(names, key=lambda name: PROCESSORS[name].native)
    with ThreadPoolExecutor(workers) as pool:
        made = dict(zip(order, pool.map(timed, order), strict=True))
    return {name: found for name, found in made.items() if found is not None}


def compared(
    subjects: Sequence[Subject], names: Sequence[str], *, workers: int = 2
) -> tuple[list[Row], dict[str, float]]:
    """Each model on each processor beside exact sums, and each processor's seconds. Raises UnavailableError."""
    inner = [Inner.of(subject, known) for subject, known in zip(subjects, references(subjects), strict=True)]
    tasks = [task for subject, one in zip(subjects, inner, strict=True) for task in one.tasks(subject)]
    found = everywhere(tasks, names, workers=workers)
    rows = []
    for place, (subject, one) in enumerate(zip(subjects, inner, strict=True)):
        for name in names:
            counted, masks = found[name][0][2 * place : 2 * place + 2]
            rows.append(Row(subject.name, name, subject.judged(one.known, masks).agreement, *one.counted(counted)))
    return rows, {name: found[name][1] for name in names}


def references(subjects: Sequence[Subject]) -> Sequence[Made]:
    """Outputs and integers of each model by exact sums. Raises UnavailableError."""
    return run_all(
        exact_processor(), [Task(exposing.exposed(subject.model).model, subject.feeds) for subject in subjects]
    )


@dataclass(frozen=True, eq=False)
class Inner:
    """A model cut at its borders. known: its outputs and integers by exact sums; names: of the tensors it is fed."""

    exposed: Exposed
    model: bytes
    names: tuple[str, ...]
    known: Made

    @staticmethod
    def of(subject: Subject, known: Made) -> "Inner":
        """The subject's model; known: of its first images, or of all."""
        made = exposing.exposed(subject.model)
        return Inner(made, *exposing.cut(subject.model, known[0], made.borders), known)

    def task(self, subject: Subject) -> Task:
        """What counts its integers, on the images that are known."""
        feeds = zip(subject.feeds[: len(self.known)], self.known, strict=True)
        return Task(self.model, [own | exposing.fed(made, self.names) for own, made in feeds])

    def tasks(self, subject: Subject) -> tuple[Task, Task]:
        """That, and what draws its masks as users get them."""
        return self.task(subject), Task(to_bytes(subject.model), subject.feeds, [str(subject.recipe.output.name)])

    def counted(self, made: Made) -> tuple[Count, Count]:
        """Differing integers of a run of `task`: those that have to be equal, and those at borders."""
        exact, borders = Count(), Count()
        for mine, its in zip(self.known, made, strict=True):
            counts = exposing.differing(mine, its, self.exposed)
            exact, borders = exact + counts[0], borders + counts[1]
        return exact, borders


def given_equal_inputs(
    subject: Subject, known: Mapping[str, Array], names: Sequence[str], *, workers: int = 2
) -> dict[str, Count]:
    """Integers that differ in each node alone, fed with exact sums' integers. known: those, of the first image."""
    whole = exposing.exposed(subject.model)
    model, taken = exposing.cut(subject.model, known, whole.makers)
    task = Task(model, [subject.feeds[0] | exposing.fed(known, taken)])
    found = everywhere([task], names, workers=workers)
    return {name: exposing.differing(known, found[name][0][0][0], whole)[0] for name in names}
