"""One model made from beginning to end: images, training, checks, ONNX file, card and curve."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from quantseg.errors import DataError
from quantseg.files import check_writable, write_json
from quantseg.progress import Track, quiet
from quantseg.runtimes.provenance import provenance
from reference_models import checkpoint
from reference_models.architectures import ARCHITECTURES
from reference_models.checkpoint import Progress
from reference_models.curve import draw_curve
from reference_models.export import export, largest_difference, multiply_accumulates, parameters
from reference_models.images import open_images
from reference_models.instances.objects import DrawnObjects
from reference_models.instances.task import KINDS, InstanceTask
from reference_models.masks import MaskTask
from reference_models.train import Task, fit
from reference_models.wanted import OWN, Wanted, check_sizes, device_of, own_data, settings_of
from reference_models.zoo import ZOO, Reference, Settings

CHECKED = 8
"""Validation images on which the exported model is compared with the network, logit by logit."""


def make(name: str, data: Path | None, output: Path, asked: Wanted, *, track: Track = quiet) -> dict[str, Any]:
    """Trains model `name` on the folder `data` and writes NAME.onnx, .json, .png and .pt into `output`.

    Returns the card. Raises DataError and RecipeError for unknown names, values that do not fit the network and bad
    images, OutputError where nothing can be written; then nothing has been trained.
    """
    own, seed = asked.own, asked.seed
    if name not in ZOO:
        raise DataError(f"{name!r}: unknown model; choose from {', '.join(ZOO)}")
    row = ZOO[name]
    if own:
        row = replace(row, data=own_data(row.data, data, own))
    settings = settings_of(row, asked.settings)
    check_sizes(name, row.data, settings)
    files = {suffix: output / f"{name}.{suffix}" for suffix in ("onnx", "json", "png", "pt")}
    for path in files.values():
        check_writable(path)
    where = device_of("cpu" if row.instances and asked.device is None else asked.device)
    if row.instances and where.type != "cpu":
        raise DataError(f"device {asked.device!r}: {name} is trained on the processor; leave out --device")
    torch.set_num_threads(asked.threads)
    task = _task(name, row, data, settings, (seed, where), track)
    recipe = task.recipe
    # What a checkpoint must agree on: all that decides the losses, but for the machine.
    fixed = {**asdict(settings), "seed": seed, "data": dict(task.digests)}
    if own:
        fixed |= {"size": row.data.input.size, "classes": recipe.output.classes}
        fixed |= {"ignore_index": recipe.output.ignore_index}
    resumed = checkpoint.load(files["pt"], name, fixed) if asked.resume else None

    def keep(progress: Progress) -> None:
        checkpoint.save(files["pt"], name, fixed, progress)
        draw_curve(name, progress.epochs, files["png"], measure=task.measure)

    def build() -> torch.nn.Module:
        return ARCHITECTURES[name](len(recipe.output.classes))

    network, progress = fit(task, build, resumed=resumed, after_epoch=keep, track=track)
    draw_curve(name, progress.epochs, files["png"], measure=task.measure)
    accuracy = task.accuracy(network)
    network = network.cpu()
    export(network, recipe, files["onnx"], data=row.data.name)
    compared = task.prepared(CHECKED)
    best = max(range(len(progress.epochs)), key=lambda index: progress.epochs[index].score)
    card = {
        "architecture": name,
        "data": row.data.name,
        "data_sha256": dict(task.digests),
        "parameters": parameters(network),
        "multiply_accumulates": multiply_accumulates(network, compared[0]),
        **accuracy,
        "onnx_difference": max(largest_difference(network, files["onnx"], images) for images in compared),
        "best_epoch": best + 1,
        "first_loss": progress.epochs[0].loss,
        "last_loss": progress.epochs[-1].loss,
        "training_seconds": round(sum(epoch.seconds for epoch in progress.epochs)),
        "settings": asdict(settings),
        "command": _command(name, row, asked),
        "seed": seed,
        "threads": asked.threads,
        "torch": torch.__version__,
        "processor": torch.cuda.get_device_name() if where.type == "cuda" else provenance().processor,
    }
    write_json(files["json"], card)
    return card


def _task(
    name: str,
    row: Reference,
    data: Path | None,
    settings: Settings,
    run: tuple[int, torch.device],
    track: Track,
) -> Task:
    """What the network learns. run: seed and device. Raises as `open_images` does."""
    if row.instances:
        assert row.data.input.size is not None
        if data is not None:
            raise DataError(f"{name} learns from drawn cells alone; leave out --data")
        objects = DrawnObjects(row.data.input.size)
        if settings.batch > len(objects):
            raise DataError(f"batch {settings.batch}: an epoch has {len(objects)} images; lower --batch")
        return InstanceTask(KINDS[name], row.data, settings, *run, objects)
    images = open_images(row.data, data, crop=settings.crop, batch=settings.batch, track=track)
    return MaskTask(images, row.data.input, settings, *run)


def _command(name: str, row: Reference, asked: Wanted) -> str:
    """The command that does the same again, the folder of images left to the reader."""
    words = ["python -m reference_models train", name]
    if row.data.layout != "cells":
        words.append(f"--data {shlex.quote(row.data.name.removeprefix(OWN))}")
    for key, value in {**asked.own, **asked.settings}.items():
        flag = key.replace("_", "-")
        switch = f"--{flag}" if value else f"--no-{flag}"
        words.append(switch if isinstance(value, bool) else f"--{flag} {shlex.quote(str(value))}")
    words.append(f"--seed {asked.seed}")
    return " ".join(words if asked.threads == 1 else [*words, f"--threads {asked.threads}"])
