"""Learned rounding as a whole: reconstruction part by part, then distillation of the whole network."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from quantseg.calibration.context import Context
from quantseg.data import Dataset
from quantseg.data.heads import head_of
from quantseg.data.recipe import Recipe
from quantseg.errors import CalibrationError
from quantseg.graph import signature
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised
from quantseg.refinement.rounding.learned import Learning, objective
from quantseg.refinement.rounding.learned.distillation import distil
from quantseg.refinement.rounding.learned.examples import Example, Examples
from quantseg.refinement.rounding.learned.network import Network
from quantseg.refinement.rounding.learned.parts import parts_of
from quantseg.refinement.rounding.learned.reconstruction import reconstruct
from quantseg.refinement.rounding.learned.task import Task
from quantseg.refinement.rounding.learned.weights import Weights


def learned(candidate: Candidate, context: Context, how: Learning) -> Candidate:
    """See `quantseg.refinement.rounding.learned.learn`."""
    data, recipe = context.data, candidate.model.recipe
    if not data.names:
        raise CalibrationError("no images to learn the rounding from; give a folder that holds some")
    losses = objective.losses_of(recipe.output)
    decided, model = candidate.plan, candidate.prepared.model
    rounded = fake_quantised(model, decided, weights=())
    network, plain = Network(rounded), Network(model)
    given, outputs = candidate.model.input.name, head_of(recipe.output).outputs(recipe.output, signature(model)[1])
    weights = Weights.of(model, decided)
    if not weights.positions:
        return candidate

    def example(feeds: Mapping[str, Any]) -> Example:
        with torch.no_grad():
            made = plain.run(feeds, outputs)
            targets = tuple(made[name] for name in outputs)
            pairs = zip(targets, losses, strict=True)
            return Example(feeds, targets, tuple(objective.pixel_weights(*pair, how.boundary_weight) for pair in pairs))

    task = Task(network, plain, outputs, Examples(data, given, _width_axis(recipe, data), example))
    with _deterministic(context.threads):
        parts = parts_of(rounded.graph, model.graph, weights.positions, largest=how.largest_part)
        weights = reconstruct(parts, task, weights, how, context)
        weights = distil(task, weights, losses, how, context)
    grids = {**candidate.overrides.weights, **decided.weights}
    return candidate.with_weights(weights.written(model, decided), grids)


def _width_axis(recipe: Recipe, data: Dataset) -> int | None:
    """The width axis, along which images are mirrored; None where the data are not images alone."""
    first = data.load(0)
    if first.image is None or first.tensor.ndim != 4 or first.others:
        return None
    return 2 if recipe.input.layout == "NHWC" else 3


@contextmanager
def _deterministic(threads: int) -> Iterator[None]:
    """Within this context torch runs on so many threads, with deterministic kernels only."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
