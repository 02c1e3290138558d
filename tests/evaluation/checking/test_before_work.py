"""Warnings before work: only what is sure, and nothing that the work would not do without them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from quantseg import api
from quantseg.data.sources import opener
from quantseg.evaluation.checking.before_work import suspicions
from quantseg.quantization.float_model import RecipeSource
from quantseg.refinement.options import Options
from tests.support import models, trained

RIGHT = {"channels": "RGB", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained.write_scenes(tmp_path_factory.mktemp("scenes"), 4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(trained.trained_on(trained.prepared("RGB", 1 / 255, RIGHT["mean"], RIGHT["std"])), path)
    return path


def suspected(model: Path, data: object, **changed: object) -> list[str]:
    loaded = api.load(model, RecipeSource(flags={**RIGHT, **changed}))
    images = opener(data)(loaded.recipe, loaded.inputs)
    return [finding.name for finding in suspicions(loaded, images, Options(threads=1).context())]


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({}, []),
        ({"channels": "BGR"}, ["channel-order"]),
        ({"scale": 1.0}, ["scale"]),
        ({"mean": (0.0,), "std": (1.0,)}, ["mean-and-std"]),
    ],
)
def test_preprocessing_that_cannot_be_right(
    changed: dict[str, object], names: list[str], model: Path, scenes: Path
) -> None:
    assert suspected(model, scenes, **changed) == names


def test_arrays_far_from_training(model: Path) -> None:
    inputs = trained.prepared("RGB", 1 / 255, RIGHT["mean"], RIGHT["std"])
    assert suspected(model, list(inputs)) == []
    assert suspected(model, list(inputs * 255)) == ["scale"]


def test_a_model_without_statistics_is_not_suspected(tmp_path: Path, scenes: Path) -> None:
    onnx.save(models.unet(base=4, depth=2, classes=3, size=32), tmp_path / "net.onnx")
    for scale in (1 / 255, 1.0):
        assert suspected(tmp_path / "net.onnx", scenes, scale=scale) == []


def test_one_class_alone_and_numbers_without_bound(tmp_path: Path, scenes: Path) -> None:
    proto = models.unet(base=4, depth=2, classes=3, size=32)
    last = next(node for node in proto.graph.node if node.output[0] == "y")
    for one in proto.graph.initializer:
        if one.name == last.input[2]:
            one.CopyFrom(numpy_helper.from_array(np.array([0, 1e9, 0], np.float32), one.name))
    onnx.save(proto, tmp_path / "net.onnx")
    assert suspected(tmp_path / "net.onnx", scenes) == ["activations", "one-class"]


def test_no_images_and_images_that_cannot_be_read_give_no_warning(model: Path, tmp_path: Path) -> None:
    assert suspected(model, []) == []
    (tmp_path / "0.png").write_bytes(b"no image")
    assert suspected(model, tmp_path) == []


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_calibration_refuses_is_left_to_it(value: float, tmp_path: Path, scenes: Path) -> None:
    proto = models.unet(base=4, depth=2, classes=3, size=32)
    for one in proto.graph.initializer:
        if one.name.startswith("b"):
            one.CopyFrom(numpy_helper.from_array(np.full(one.dims, value, np.float32), one.name))
    onnx.save(proto, tmp_path / "net.onnx")
    assert suspected(tmp_path / "net.onnx", scenes) == []
