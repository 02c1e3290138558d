"""One model made from beginning to end: pictures, training, checks, ONNX file, card and curve."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from quantseg.data import LAYOUTS
from quantseg.errors import DataError
from quantseg.files import check_writable, write_json
from quantseg.progress import Track, quiet
from quantseg.provenance import provenance
from quantseg.recipe import OutputRecipe, Recipe, parse_size
from reference_models import checkpoint
from reference_models.architectures import ARCHITECTURES
from reference_models.checkpoint import Progress
from reference_models.curve import draw_curve
from reference_models.export import export, multiply_accumulates, parameters
from reference_models.losses import parse_loss
from reference_models.pictures import Pictures, open_pictures
from reference_models.train import PRECISIONS, SCHEDULES, Trainer
from reference_models.zoo import ZOO, DataSet, Reference, Settings


def make(
    name: str,
    data: Path | None,
    output: Path,
    *,
    given: Mapping[str, Any],
    own: Mapping[str, Any] | None = None,
    seed: int = 0,
    threads: int = 1,
    resume: bool = False,
    device: str | None = None,
    track: Track = quiet,
) -> dict[str, Any]:
    """Trains model `name` on the folder `data` and writes NAME.onnx, .json, .png and .pt into `output`.

    given: settings that differ from the zoo's. own: what differs where the pictures are of another data set: dataset
    (its layout), size, classes, ignore_index. Returns the card. Raises DataError for unknown names and bad pictures,
    OutputError where nothing can be written; then nothing has been trained.
    """
    if name not in ZOO:
        raise DataError(f"{name!r}: unknown model; choose from {', '.join(ZOO)}")
    row = ZOO[name]
    if own:
        row = replace(row, data=_own_data(row.data, data, own))
    settings = _settings(row.settings, given)
    files = {suffix: output / f"{name}.{suffix}" for suffix in ("onnx", "json", "png", "pt")}
    for path in files.values():
        check_writable(path)
    where = _device(device)
    torch.set_num_threads(threads)
    pictures = open_pictures(row.data, data, crop=settings.crop, batch=settings.batch, track=track)
    # What a checkpoint must agree on: all that decides the losses.
    fixed = {**asdict(settings), "seed": seed, "data": dict(pictures.digests)}
    resumed = checkpoint.load(files["pt"], name, fixed) if resume else None

    def keep(progress: Progress) -> None:
        checkpoint.save(files["pt"], name, fixed, progress)
        draw_curve(name, progress.epochs, files["png"])

    trainer = Trainer(pictures, row.data.input, settings, seed, where)
    network, progress = trainer.train(ARCHITECTURES[name], resumed=resumed, after_epoch=keep, track=track)
    scores = trainer.validate(network, exact=True)
    network = network.cpu()
    recipe = _recipe(row, pictures)
    export(network, recipe, files["onnx"], data=row.data.name)
    assert recipe.input.size is not None
    best = max(range(len(progress.epochs)), key=lambda index: progress.epochs[index].mean_iou)
    card = {
        "architecture": name,
        "data": row.data.name,
        "data_sha256": dict(pictures.digests),
        "parameters": parameters(network),
        "multiply_accumulates": multiply_accumulates(network, recipe.input.size),
        "validation_mean_iou": scores.mean_iou(),
        "validation_iou": dict(zip(pictures.classes, scores.iou(), strict=True)),
        "best_epoch": best + 1,
        "first_loss": progress.epochs[0].loss,
        "last_loss": progress.epochs[-1].loss,
        "training_seconds": round(sum(epoch.seconds for epoch in progress.epochs)),
        "settings": asdict(settings),
        "command": _command(name, row, {**(own or {}), **given}, seed),
        "seed": seed,
        "threads": threads,
        "torch": torch.__version__,
        "processor": torch.cuda.get_device_name() if where.type == "cuda" else provenance().processor,
    }
    write_json(files["json"], card)
    return card


def _own_data(data: DataSet, folder: Path | None, own: Mapping[str, Any]) -> DataSet:
    """The data set of a user, prepared as the model's own unless said otherwise. Raises DataError."""
    layout = own.get("dataset", data.layout)
    if layout not in LAYOUTS:
        raise DataError(f"dataset {layout!r}: unknown layout; choose from {', '.join(LAYOUTS)}")
    size = parse_size(own["size"]) if "size" in own else data.input.size
    return DataSet(
        data.name if folder is None else folder.resolve().name,
        layout,
        replace(data.input, size=size),
        classes=tuple(word.strip() for word in own["classes"].split(",")) if "classes" in own else (),
        ignore_index=own.get("ignore_index"),
    )


def _settings(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """The zoo's settings with the given ones; checked now, not after an epoch. Raises DataError."""
    changed = {key: parse_size(value) if key == "crop" else value for key, value in given.items()}
    settings = replace(settings, **changed)
    parse_loss(settings.loss)
    for what, value, known in (
        ("schedule", settings.schedule, SCHEDULES),
        ("precision", settings.precision, PRECISIONS),
    ):
        if value not in known:
            raise DataError(f"{what} {value!r}: unknown; choose from {', '.join(known)}")
    for key in ("epochs", "batch"):
        if getattr(settings, key) < 1:
            raise DataError(f"{key} {getattr(settings, key)}: too few; give 1 or more")
    if not settings.learning_rate > 0 or not settings.weight_decay >= 0:
        raise DataError("learning rate and weight decay are positive numbers; correct the flag")
    return settings


def _device(wanted: str | None) -> torch.device:
    if wanted not in (None, "cpu", "cuda"):
        raise DataError(f"device {wanted!r}: unknown; choose cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DataError("device 'cuda': torch finds no GPU; leave --device out to train on the processor")
    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))


def _recipe(row: Reference, pictures: Pictures) -> Recipe:
    output = OutputRecipe(
        name="logits", layout="NCHW", head="argmax", classes=pictures.classes, ignore_index=pictures.ignore_index
    )
    return Recipe(row.data.input, output)


def _command(name: str, row: Reference, given: Mapping[str, Any], seed: int) -> str:
    """The command that does the same again, the folder of pictures left to the reader."""
    words = ["python -m reference_models train", name]
    if row.data.layout != "cells":
        words.append(f"--data {row.data.name}")
    for key, value in given.items():
        flag = key.replace("_", "-")
        words.append((f"--{flag}" if value else f"--no-{flag}") if isinstance(value, bool) else f"--{flag} {value}")
    return " ".join([*words, f"--seed {seed}"])
