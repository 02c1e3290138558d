"""The reference models that come with the project, and the images that each was trained on.

Models are found as files: this package never imports their training code. The demo's is part of quantseg; all of them
lie in a checkout, or are installed by themselves (quantseg-zoo). Their data sets lie in one folder (ROOT/camvid,
ROOT/wbc). The split of each into training and held-out images is defined here, for training, calibration and reports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from quantseg import graph
from quantseg.data import Address, Dataset, ModelInputs, Subset, open_dataset
from quantseg.data.folder import choose
from quantseg.data.recipe import Recipe
from quantseg.errors import DataError, MissingExtraError
from quantseg.graph import TensorSpec

DATA_KEY = "quantseg.data"
"""The metadata property that names the data set a model was trained on."""

CELLS = "cells"
"""The synthetic data set, drawn when needed: see quantseg.data.drawn_cells."""

CELL_INSTANCES = "cell_instances"
"""The same drawings, each cell an instance of its own."""

INSTANCE_MODELS = ("mask_rcnn", "yolo_seg")
"""The reference models whose outputs are instances; all others give one mask."""

DEMO = "cells_unet"
"""The reference model of the demo: a wheel holds it beside this module."""

PACKAGES = ("reference_models", "quantseg_zoo")
"""Packages whose folder weights/ holds the reference models: a checkout's, and the one that is installed by itself."""

CALIBRATION_SEED, VALIDATION_SEED = 2_000_000, 3_000_000
"""First seeds of the synthetic blood smears for calibration and evaluation; training uses other seeds."""

_FOLD = 5


@dataclass(frozen=True)
class DataSet:
    """Folders of the images to calibrate on and to judge on. If both are the same folder, every fifth is held out."""

    calibration: str
    validation: str


DATA_SETS: Mapping[str, DataSet] = {"camvid": DataSet("train", "val"), "wbc": DataSet(".", ".")}


def reference_models(*, instances: bool = False) -> Mapping[str, Path]:
    """Name → ONNX file of every reference model, sorted. instances: whether INSTANCE_MODELS are among them.

    Raises MissingExtraError where none is installed.
    """
    for package in PACKAGES:
        spec = find_spec(package)
        folders = [] if spec is None else spec.submodule_search_locations or []
        files = (path for folder in folders for path in sorted(Path(folder).glob("weights/*.onnx")))
        if found := {path.stem: path for path in files if instances or path.stem not in INSTANCE_MODELS}:
            return found
    raise MissingExtraError("the reference models: not installed; pip install quantseg-zoo, or name a model")


def demo_model() -> Path:
    """The ONNX file of the demo's model; in a checkout it lies with the others. Raises MissingExtraError without it."""
    own = Path(__file__).with_name(f"{DEMO}.onnx")
    return own if own.is_file() else reference_models()[DEMO]


def data_of(model: Path) -> str | None:
    """The name of the data set that a model was trained on; None if its metadata does not say."""
    return graph.load(model).metadata_props.get(DATA_KEY)


def split_fifth(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Splits names into those to train on and those held out: of the sorted names the 5th, the 10th, the 15th …"""
    ordered = sorted(names)
    held_out = tuple(ordered[_FOLD - 1 :: _FOLD])
    return tuple(name for index, name in enumerate(ordered) if index % _FOLD != _FOLD - 1), held_out


def open_parts(
    root: Path | Address, data: str, recipe: Recipe, inputs: ModelInputs | TensorSpec, *, limit: int, masks: bool = True
) -> tuple[Dataset, Dataset]:
    """The images to calibrate on and, with their masks, those to judge on: at most `limit` each, evenly spread.

    root: holds the data sets by name; data: a name in DATA_SETS. Raises DataError where a part is missing.
    """
    place, where = DATA_SETS[data], root if isinstance(root, Address) else Address(root)
    of = where.place / data
    training = open_dataset(replace(where, place=of / place.calibration), recipe, inputs=inputs, masks=False)
    validation = open_dataset(replace(where, place=of / place.validation), recipe, inputs=inputs, masks=masks)
    names = training.names, validation.names
    if place.calibration == place.validation:
        names = split_fifth(training.names)
    if not names[1]:
        raise DataError(f"{of}: {len(training.names)} images, none of them held out; give at least {_FOLD}")
    return _named(training, choose(names[0], limit)), _named(validation, choose(names[1], limit))


def _named(dataset: Dataset, names: Sequence[str]) -> Subset:
    index = {name: place for place, name in enumerate(dataset.names)}
    return Subset(dataset, tuple(index[name] for name in names))
