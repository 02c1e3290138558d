"""Pictures, and what the float model answers to them: by these the answers of other models are judged."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.data.heads import head_of
from quantseg.data.recipe import OutputRecipe
from quantseg.mixed_precision.risk.margins import Judge
from quantseg.progress import Track, quiet
from quantseg.runtimes import WEIGHTS_AS_WRITTEN

Feeds = Sequence[Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Jury:
    """A judge for each of the pictures. outputs: names of those that are judged. threads: that models are run on."""

    feeds: Feeds
    judges: tuple[Judge, ...]
    outputs: tuple[str, ...]
    threads: int

    @staticmethod
    def of(model: ir.Model, feeds: Feeds, output: OutputRecipe, *, threads: int) -> "Jury":
        """Runs the float model on each of `feeds`. Raises RecipeError where its answer does not fit the recipe."""
        names = head_of(output).outputs(output, graph.signature(model)[1])
        answers = _answers(model, feeds, names, threads)
        return Jury(feeds, tuple(Judge.of(answer, output) for answer in answers), names, threads)

    def chosen(self, indices: Sequence[int]) -> "Jury":
        """Some of its pictures alone."""
        few, judges = [self.feeds[index] for index in indices], tuple(self.judges[index] for index in indices)
        return replace(self, feeds=few, judges=judges)

    def risks(self, model: ir.Model, *, threads: int | None = None) -> tuple[float, ...]:
        """The risk of a model's answer to each picture; see margins.py."""
        answers = _answers(model, self.feeds, self.outputs, threads or self.threads)
        return tuple(judge.risk(answer) for judge, answer in zip(self.judges, answers, strict=True))

    def side_by_side(self, models: Sequence[Callable[[], ir.Model]], *, what: str, track: Track = quiet) -> list[float]:
        """The mean risk of each model: as many at a time as there are threads, each on one of its own."""

        def risk(make: Callable[[], ir.Model]) -> float:
            return fmean(self.risks(make(), threads=1))

        with ThreadPoolExecutor(self.threads) as pool:
            try:
                return list(track(pool.map(risk, models), total=len(models), what=what))
            finally:
                pool.shutdown(cancel_futures=True)


def _answers(model: ir.Model, feeds: Feeds, names: Sequence[str], threads: int) -> Iterable[list[NDArray[Any]]]:
    with (
        graph.as_session_source(model) as source,
        closing(WEIGHTS_AS_WRITTEN.open(source, threads=threads, spinning=False)) as session,
    ):
        for feed in feeds:
            yield session.run(feed, names)
