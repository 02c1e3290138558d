"""All of learned rounding: from a prepared model to the same one with weights that lie on their grids."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from quantseg.calibration.context import Context
from quantseg.data import Dataset
from quantseg.data.recipe import Recipe
from quantseg.errors import CalibrationError, PlanError
from quantseg.graph import to_bytes
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised
from quantseg.refinement.rounding.learned import NETWORK_SHARE, Learning, objective
from quantseg.refinement.rounding.learned import checkpoint as checkpoints
from quantseg.refinement.rounding.learned.checkpoint import Progress
from quantseg.refinement.rounding.learned.distillation import distil
from quantseg.refinement.rounding.learned.examples import Example, Examples
from quantseg.refinement.rounding.learned.network import Network
from quantseg.refinement.rounding.learned.parts import parts_of
from quantseg.refinement.rounding.learned.reconstruction import reconstruct
from quantseg.refinement.rounding.learned.rounding import ROUNDINGS
from quantseg.refinement.rounding.learned.weights import Weights

SAVE_EVERY_SECONDS = 10.0
"""How often the whole network's progress is saved."""


def learned(candidate: Candidate, context: Context, how: Learning) -> Candidate:
    """See `quantseg.refinement.rounding.learned.learn`."""
    data, recipe = context.data, candidate.model.recipe
    if not data.names:
        raise CalibrationError("no images to learn the rounding from; give a folder that holds some")
    if how.rounding not in ROUNDINGS:
        raise PlanError(f"{how.rounding!r} is no way to learn rounding; choose one of {', '.join(ROUNDINGS)}")
    objective.check(recipe.output)
    decided, model = candidate.plan, candidate.prepared.model
    rounded = fake_quantised(model, decided, weights=())
    networks = Network(rounded), Network(model)
    given, answer = candidate.model.input.name, recipe.output.name or str(model.graph.outputs[0].name)
    weights = Weights.of(model, decided)
    if not weights.positions:
        return candidate
    work = _digest(candidate, context, how)
    done = (checkpoints.read(how.checkpoint, work) if how.checkpoint else None) or Progress()
    if done.tensors:
        weights = weights.with_tensors(done.tensors)

    def example(x: Any) -> Example:
        with torch.no_grad():
            target = networks[1].run({given: x}, (answer,))[answer]
            return Example(x, target, objective.pixel_weights(target, recipe.output, how.boundary_weight))

    examples = Examples(data, _width_axis(recipe, data), example)
    with _deterministic(context.threads):
        parts = parts_of(rounded.graph, model.graph, weights.positions, largest=how.largest_part)
        weights = reconstruct(
            parts,
            networks,
            weights,
            given,
            examples,
            rounding=how.rounding,
            steps=how.iterations,
            seed=context.seed,
            done=done,
            save=_saver(how.checkpoint, work, 0.0),
            track=context.track,
        )
        weights = distil(
            networks[0],
            weights,
            (given, answer),
            examples,
            recipe.output,
            rounding=how.rounding,
            steps=NETWORK_SHARE * how.iterations,
            seed=context.seed,
            done=replace(done, part=len(parts)),
            save=_saver(how.checkpoint, work, SAVE_EVERY_SECONDS),
            track=context.track,
        )
    grids = {**candidate.overrides.weights, **decided.weights}
    return candidate.with_weights(weights.written(candidate.prepared.model, decided), grids)


def _width_axis(recipe: Recipe, data: Dataset) -> int | None:
    """The axis along which pictures are mirrored; None for what is no picture."""
    first = data.load(0)
    if first.image is None or first.tensor.ndim != 4:
        return None
    return 2 if recipe.input.layout == "NHWC" else 3


def _digest(candidate: Candidate, context: Context, how: Learning) -> str:
    """SHA-256 of everything that the result follows from."""
    data, chosen = context.data, replace(how, checkpoint=None)
    images = [(name, data.digest(index)) for index, name in enumerate(data.names)]
    given = [repr(chosen), context.seed, context.threads, torch.__version__]
    told = json.dumps([candidate.plan.to_json(), candidate.model.recipe.to_toml(), images, given])
    return hashlib.sha256(to_bytes(candidate.prepared.model) + told.encode()).hexdigest()


def _saver(path: Path | None, work: str, every: float) -> Callable[[Progress], None]:
    last = time.monotonic()

    def save(progress: Progress) -> None:
        nonlocal last
        if path is not None and time.monotonic() - last >= every:
            checkpoints.write(path, work, progress)
            last = time.monotonic()

    return save


@contextmanager
def _deterministic(threads: int) -> Iterator[None]:
    """The same numbers each time: torch on so many threads, with deterministic kernels alone. Undone afterwards."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
