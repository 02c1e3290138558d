"""Images, and what the float model answers to them: by these the answers of other models are judged."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.calibration.engines import in_order
from quantseg.data.heads import head_of
from quantseg.data.recipe import OutputRecipe
from quantseg.mixed_precision.risk.margins import MarginWeightedError
from quantseg.runtimes import WEIGHTS_AS_WRITTEN

Feeds = Sequence[Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class ReferenceOutputs:
    """A judge for each of the pictures. outputs: names of those that are judged. threads: that models are run on."""

    feeds: Feeds
    judges: tuple[MarginWeightedError, ...]
    outputs: tuple[str, ...]
    threads: int

    @staticmethod
    def of(model: ir.Model, feeds: Feeds, output: OutputRecipe, *, threads: int) -> "ReferenceOutputs":
        """Runs the float model on each of `feeds`. Raises RecipeError where its answer does not fit the recipe."""
        names = head_of(output).outputs(output, graph.signature(model)[1])
        answers = _answers(model, feeds, names, threads)
        return ReferenceOutputs(
            feeds, tuple(MarginWeightedError.of(answer, output) for answer in answers), names, threads
        )

    def chosen(self, indices: Sequence[int]) -> "ReferenceOutputs":
        """Some of its images alone."""
        few, judges = [self.feeds[index] for index in indices], tuple(self.judges[index] for index in indices)
        return replace(self, feeds=few, judges=judges)

    def risks(self, model: ir.Model) -> tuple[float, ...]:
        """The risk of a model's answer to each image; see margins.py."""
        answers = _answers(model, self.feeds, self.outputs, self.threads)
        return tuple(judge.risk(answer) for judge, answer in zip(self.judges, answers, strict=True))

    def side_by_side(self, models: Sequence[Callable[[], ir.Model]], context: Context, what: str) -> list[float]:
        """The mean risk of each model, as many at a time as the context has workers, each on one thread."""
        graphs = ((number, graph.to_bytes(make())) for number, make in enumerate(models))
        return list(context.track(in_order(context.beside(_Judging(self), graphs)), total=len(models), what=what))


@dataclass(frozen=True)
class _Judging:
    """Judges models, each opened on one thread. Picklable."""

    reference: ReferenceOutputs

    def __call__(self) -> Callable[[tuple[int, bytes]], tuple[int, float]]:
        return lambda numbered: (numbered[0], self._risk(numbered[1]))

    def _risk(self, model: bytes) -> float:
        with closing(WEIGHTS_AS_WRITTEN.open(model, threads=1, spinning=False)) as session:
            outputs = (session.run(feed, self.reference.outputs) for feed in self.reference.feeds)
            return fmean(judge.risk(out) for judge, out in zip(self.reference.judges, outputs, strict=True))


def _answers(model: ir.Model, feeds: Feeds, names: Sequence[str], threads: int) -> Iterable[list[NDArray[Any]]]:
    with (
        graph.as_session_source(model) as source,
        closing(WEIGHTS_AS_WRITTEN.open(source, threads=threads, spinning=False)) as session,
    ):
        for feed in feeds:
            yield session.run(feed, names)
