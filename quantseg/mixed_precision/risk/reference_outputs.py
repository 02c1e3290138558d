"""Reference outputs: the float model's outputs for some images, with which the outputs of other models are compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from quantseg.progress import Track, quiet
from quantseg.runtimes import WEIGHTS_AS_WRITTEN, Runtime

Feeds = Sequence[Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class ReferenceOutputs:
    """Images and the float model's outputs for them.

    feeds: the model inputs of each image. errors: the float outputs of each image, as margins. outputs: names of the
    outputs that are compared. threads: number of threads on which models are run. runtime: WEIGHTS_AS_WRITTEN, maybe
    with another time limit.
    """

    feeds: Feeds
    errors: tuple[MarginWeightedError, ...]
    outputs: tuple[str, ...]
    threads: int
    runtime: Runtime = WEIGHTS_AS_WRITTEN

    @staticmethod
    def of(
        model: ir.Model,
        feeds: Feeds,
        output: OutputRecipe,
        *,
        threads: int,
        runtime: Runtime = WEIGHTS_AS_WRITTEN,
        track: Track = quiet,
    ) -> "ReferenceOutputs":
        """Runs the float model on each of `feeds`. Raises RecipeError where its outputs do not fit the recipe."""
        names = head_of(output).outputs(output, graph.signature(model)[1])
        unjudged = ReferenceOutputs(feeds, (), names, threads, runtime)
        found = track(unjudged.outputs_of(model), total=len(feeds), what="float outputs")
        return replace(unjudged, errors=tuple(MarginWeightedError.of(outputs, output) for outputs in found))

    def chosen(self, indices: Sequence[int]) -> "ReferenceOutputs":
        """The reference outputs of some of the images alone."""
        few, errors = [self.feeds[index] for index in indices], tuple(self.errors[index] for index in indices)
        return replace(self, feeds=few, errors=errors)

    def outputs_of(self, model: ir.Model) -> Iterator[list[NDArray[Any]]]:
        """A model's outputs for each image."""
        with (
            graph.as_session_source(model) as source,
            closing(self.runtime.open(source, threads=self.threads, spinning=False)) as session,
        ):
            for feed in self.feeds:
                yield session.run(feed, self.outputs)

    def risks(self, model: ir.Model, track: Track = quiet) -> tuple[float, ...]:
        """The margin-weighted error of a model's outputs for each image; see margins.py."""
        found = track(self.outputs_of(model), total=len(self.feeds), what="compare with float")
        return tuple(error.risk(outputs) for error, outputs in zip(self.errors, found, strict=True))

    def side_by_side(self, models: Sequence[Callable[[], ir.Model]], context: Context, what: str) -> list[float]:
        """The mean margin-weighted error of each model.

        models: functions that build them; they run in parallel, each on one thread. what: label of the progress bar.
        """
        graphs = ((number, graph.to_bytes(make())) for number, make in enumerate(models))
        return list(context.track(in_order(context.beside(_Judging(self), graphs)), total=len(models), what=what))


@dataclass(frozen=True)
class _Judging:
    """Measures the mean error of serialised models, each opened on one thread. Picklable."""

    reference: ReferenceOutputs

    def __call__(self) -> Callable[[tuple[int, bytes]], tuple[int, float]]:
        return lambda numbered: (numbered[0], self._risk(numbered[1]))

    def _risk(self, model: bytes) -> float:
        with closing(self.reference.runtime.open(model, threads=1, spinning=False)) as session:
            outputs = (session.run(feed, self.reference.outputs) for feed in self.reference.feeds)
            return fmean(error.risk(out) for error, out in zip(self.reference.errors, outputs, strict=True))
