"""All of learned rounding: from a prepared model to the same one with weights that lie on their grids."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from quantseg.data import Dataset
from quantseg.data.heads import head_of
from quantseg.data.recipe import Recipe
from quantseg.errors import CalibrationError, PlanError
from quantseg.graph import signature, to_bytes
from quantseg.graph.preparation import Prepared
from quantseg.progress import Track
from quantseg.quantization.affine import Range
from quantseg.quantization.fake_quant import fake_quantised
from quantseg.quantization.plan import QuantPlan, QuantSettings, plan
from quantseg.refinement.rounding.learned import checkpoint as checkpoints
from quantseg.refinement.rounding.learned import objective
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


def learned(
    prepared: Prepared,
    ranges: Mapping[str, Range],
    settings: QuantSettings,
    recipe: Recipe,
    input_name: str,
    data: Dataset,
    *,
    rounding: str,
    largest_part: int,
    part_steps: int,
    steps: int,
    seed: int,
    boundary_weight: float,
    threads: int,
    checkpoint: Path | None,
    track: Track,
) -> Prepared:
    """See `quantseg.refinement.rounding.learned.learn`; part_steps: for each part, before the whole network's."""
    if not data.names:
        raise CalibrationError("no images to learn the rounding from; give a folder that holds some")
    if rounding not in ROUNDINGS:
        raise PlanError(f"{rounding!r} is no way to learn rounding; choose one of {', '.join(ROUNDINGS)}")
    losses = objective.losses_of(recipe.output)
    decided = plan(prepared, ranges, settings)
    rounded = fake_quantised(prepared.model, decided, weights=())
    networks = Network(rounded), Network(prepared.model)
    outputs = head_of(recipe.output).outputs(recipe.output, signature(prepared.model)[1])
    weights = Weights.of(prepared.model, decided)
    if not weights.positions:
        return prepared
    work = _digest(
        prepared, decided, recipe, data, (rounding, largest_part, part_steps, steps, seed, boundary_weight, threads)
    )
    done = (checkpoints.read(checkpoint, work) if checkpoint else None) or Progress()
    if done.tensors:
        weights = weights.with_tensors(done.tensors)

    def example(x: Any) -> Example:
        with torch.no_grad():
            made = networks[1].run({input_name: x}, outputs)
            targets = tuple(made[name] for name in outputs)
            pairs = zip(targets, losses, strict=True)
            return Example(x, targets, tuple(objective.pixel_weights(*pair, boundary_weight) for pair in pairs))

    examples = Examples(data, _width_axis(recipe, data), example)
    with _deterministic(threads):
        parts = parts_of(rounded.graph, prepared.model.graph, weights.positions, largest=largest_part)
        weights = reconstruct(
            parts,
            networks,
            weights,
            input_name,
            examples,
            rounding=rounding,
            steps=part_steps,
            seed=seed,
            done=done,
            save=_saver(checkpoint, work, 0.0),
            track=track,
        )
        weights = distil(
            networks[0],
            weights,
            (input_name, outputs),
            examples,
            losses,
            rounding=rounding,
            steps=steps,
            seed=seed,
            done=replace(done, part=len(parts)),
            save=_saver(checkpoint, work, SAVE_EVERY_SECONDS),
            track=track,
        )
    model = weights.written(prepared.model, decided)
    return replace(prepared, model=model, weights={**prepared.weights, **decided.weights})


def _width_axis(recipe: Recipe, data: Dataset) -> int | None:
    """The axis along which pictures are mirrored; None for what is no picture."""
    first = data.load(0)
    if first.image is None or first.tensor.ndim != 4:
        return None
    return 2 if recipe.input.layout == "NHWC" else 3


def _digest(prepared: Prepared, decided: QuantPlan, recipe: Recipe, data: Dataset, chosen: tuple[object, ...]) -> str:
    """SHA-256 of everything that the result follows from."""
    images = [(name, data.digest(index)) for index, name in enumerate(data.names)]
    told = json.dumps([decided.to_json(), recipe.to_toml(), images, chosen, torch.__version__])
    return hashlib.sha256(to_bytes(prepared.model) + told.encode()).hexdigest()


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
