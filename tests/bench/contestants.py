"""The models that the speed benchmarks judge, each with images to calibrate on and others to judge on."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx

from quantseg import api
from quantseg.calibration.calibrate import Calibrated
from quantseg.data import Dataset
from quantseg.data.drawn_cells import write_cells
from quantseg.data.sources import opener
from quantseg.evaluation.reference_models import data_of, open_parts, reference_models
from quantseg.mixed_precision.targets import input_shapes
from quantseg.quantization.float_model import FloatModel, RecipeSource
from quantseg.quantization.writing import QuantizedModel
from quantseg.refinement import levels
from quantseg.refinement.options import Options
from quantseg.runtimes.macs import multiply_accumulates
from tests.bench import writing
from tests.support.models import unet

RECIPES = Path(__file__).parent / "recipes"
SHARED = {
    "deeplab_v3_mbv2_voc": ("camvid/train", "camvid/val"),
    "road_segmentation_adas_0001": ("camvid/train", "camvid/val"),
    "sinet_portrait": ("coco10", "coco10"),
    "ppocr_mobile_v2_det": ("camvid/train", "camvid/val"),
}
"""Models that others trained → images to calibrate on, images to judge on."""
UNET = "unet_base32"
"""The U-Net whose figures were known before the first line of code: untrained, base 32, 256x256."""
THREADS = 2
FAST = Options(effort=levels.FAST, threads=THREADS)
"""How benchmarks of speed make their models: min/max ranges, channels in order, no image looked at twice."""


@dataclass(frozen=True)
class Subject:
    """A float model and its images. labelled: whether the masks are of the model's own classes."""

    name: str
    path: Path
    model: FloatModel
    calibration: Dataset
    validation: Dataset
    labelled: bool
    source: RecipeSource

    def calibrated(self, options: Options = FAST) -> Calibrated:
        """Calibrated on the images for it."""
        return api.calibrate(self.model, self.calibration, options=options)

    def quantised(self, options: Options = FAST, given: Calibrated | None = None) -> QuantizedModel:
        """What `quantseg quantize` writes of it. given: its calibration; None: it is made."""
        return api.quantize(self.model, given or self.calibration, options=options)


def names() -> tuple[str, ...]:
    """The U-Net, the models of others, the reference models."""
    return (UNET, *SHARED, *reference_models())


@contextmanager
def subject(
    name: str,
    *,
    calibration: int,
    validation: int,
    models: Path = writing.SHARED / "models",
    data: Path = writing.SHARED / "data",
) -> Iterator[Subject]:
    """Opens a model of `names` with at most so many images. models, data: folders of what others made."""
    with tempfile.TemporaryDirectory() as folder:
        if name in SHARED:
            path = models / f"{name}.onnx"
            source = RecipeSource(RECIPES / f"{name}.toml")
            model = api.load(path, source)
            parts = [
                opener(data / where, limit=limit)(model.recipe, model.input)
                for where, limit in zip(SHARED[name], (calibration, validation), strict=True)
            ]
            yield Subject(name, path, model, parts[0], parts[1], False, source)
            return
        path = Path(folder) / "float.onnx" if name == UNET else reference_models()[name]
        if name == UNET:
            onnx.save(unet(), path)
        model = api.load(path)
        trained_on = None if name == UNET else data_of(path)
        if trained_on in (None, "cells"):
            size = model.recipe.input.size
            assert size is not None
            for part, (count, seed) in {"train": (calibration, 2_000_000), "val": (validation, 3_000_000)}.items():
                write_cells(Path(folder) / part, count, seed=seed, size=size)
            train = opener(Path(folder) / "train")(model.recipe, model.input)
            val = opener(Path(folder) / "val", masks=name != UNET)(model.recipe, model.input)
            yield Subject(name, path, model, train, val, name != UNET, RecipeSource())
            return
        assert trained_on is not None
        limit = max(calibration, validation)
        train, val = open_parts(data, trained_on, model.recipe, model.input, limit=limit)
        yield Subject(name, path, model, train, val, True, RecipeSource())


def int8_macs(made: QuantizedModel, model: FloatModel) -> float:
    """The share of multiply-accumulates that compute in integers, 0…1. model: the float model that it was made from."""
    counts = multiply_accumulates(made.candidate.prepared, input_shapes(model))
    integer = {node.name for node in made.plan.quantised}
    return sum(macs for node, macs in counts.items() if node in integer) / sum(counts.values())
