"""What a training is asked to do, checked before anything is read: settings, sizes, data of one's own, the device."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import torch

from quantseg.data import LAYOUTS
from quantseg.data import drawn_cells as cells
from quantseg.data.address import layout_name
from quantseg.data.recipe import parse_size
from quantseg.errors import DataError
from reference_models.architectures import ARCHITECTURES
from reference_models.losses import parse_loss
from reference_models.train import PRECISIONS, SCHEDULES
from reference_models.zoo import CELL_OBJECTS, DataSet, Reference, Settings

OWN = "own "
"""Before the folder's name, in the metadata: a report must not take a folder called camvid for that data set."""

_MAX_ID = 1 << 31
_MASKS_ONLY = frozenset({"loss", "class_weights", "crop", "augment", "precision"})
"""Settings that networks of instances do not have."""


@dataclass(frozen=True)
class Wanted:
    """What a training is asked for.

    settings: those that differ from the zoo's. own: what differs where the images are of another data set: dataset
    (its layout), size, classes, ignore_index. resume: whether it goes on from a checkpoint. device: see `device_of`.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    threads: int = 1
    resume: bool = False
    device: str | None = None


def settings_of(row: Reference, given: Mapping[str, Any]) -> Settings:
    """The zoo's settings with the given ones; checked now, not after an epoch. Raises DataError, RecipeError."""
    if row.instances and (fixed := _MASKS_ONLY & given.keys()):
        raise DataError(f"{min(fixed)}: not for a network of instances, which has its own; leave it out")
    changed = {key: parse_size(value) if key == "crop" else value for key, value in given.items()}
    settings = replace(row.settings, **changed)
    if not row.instances:
        parse_loss(settings.loss)
    for what, value, known in (
        ("schedule", settings.schedule, SCHEDULES),
        ("precision", settings.precision, PRECISIONS),
    ):
        if value not in known:
            raise DataError(f"{what} {value!r}: unknown; choose from {', '.join(known)}")
    # BatchNorm learns nothing from a batch of one image whose maps have shrunk to one pixel.
    for key, least in (("epochs", 1), ("batch", 2)):
        if getattr(settings, key) < least:
            raise DataError(f"{key} {getattr(settings, key)}: too few; give {least} or more")
    if not 0 < settings.learning_rate < inf or not 0 <= settings.weight_decay < inf:
        raise DataError("learning rate and weight decay are positive numbers; correct the flag")
    # Of images in files only augmentation takes crops.
    if settings.augment or row.data.layout == "cells":
        return settings
    if "crop" in given:
        raise DataError("crops are part of augmentation; leave out --crop or --no-augment")
    return replace(settings, crop=None)


def check_sizes(name: str, data: DataSet, settings: Settings) -> None:
    """Raises DataError where the network cannot take images of the size or the crop."""
    multiple, size = ARCHITECTURES[name](2).multiple, data.input.size
    assert size is not None
    for what, sides in (("size", size), ("crop", settings.crop or size)):
        shown = "x".join(map(str, sides))
        if any(side < 1 or side % multiple for side in sides):
            raise DataError(f"{what} {shown}: {name} takes multiples of {multiple}; give another --{what}")
        if any(side > whole for side, whole in zip(sides, size, strict=True)):
            raise DataError(f"crop {shown}: larger than images of {size[0]}x{size[1]}; give another --crop")


def own_data(data: DataSet, folder: Path | None, own: Mapping[str, Any]) -> DataSet:
    """The data set of a user, prepared as the model's own unless said otherwise. Raises DataError, RecipeError."""
    if data == CELL_OBJECTS:
        raise DataError("a network of instances learns from drawn cells alone; leave out --data and what describes it")
    layout = layout_name(own.get("dataset", data.layout))
    if layout not in LAYOUTS:
        raise DataError(f"dataset {layout!r}: unknown layout; choose from {', '.join(LAYOUTS)}")
    prepared = replace(data.input, size=parse_size(own["size"])) if "size" in own else data.input
    if layout == "cells":
        if "classes" in own or "ignore_index" in own:
            raise DataError("cells have classes of their own; leave out --classes and --ignore-index")
        return DataSet("cells", layout, prepared, cells.CLASSES)
    # The names and the id that the model's data set has hold until another data set is named.
    known = data if "dataset" not in own else DataSet("", layout, prepared)
    ignored = own.get("ignore_index", known.ignore_index)
    if ignored is not None and not abs(ignored) < _MAX_ID:
        raise DataError(f"ignore-index {ignored}: no id of a mask; give one below {_MAX_ID:,}")
    return DataSet(
        data.name if folder is None else f"{OWN}{folder.resolve().name}",
        layout,
        prepared,
        classes=_class_names(own["classes"]) if "classes" in own else known.classes,
        ignore_index=ignored,
    )


def _class_names(text: str) -> tuple[str, ...]:
    names = tuple(word.strip() for word in text.split(","))
    if len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise DataError(f"classes {text!r}: not two or more names that differ; give them as sky,road,car")
    return names


def device_of(wanted: str | None) -> torch.device:
    """cpu or cuda, None for the better one that is there. Raises DataError."""
    if wanted not in (None, "cpu", "cuda"):
        raise DataError(f"device {wanted!r}: unknown; choose cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DataError("device 'cuda': torch finds no GPU; leave --device out to train on the processor")
    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
