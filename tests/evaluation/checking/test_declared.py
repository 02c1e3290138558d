"""What a recipe says against the model's signature, and by how much a model reduces its input."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import quantseg as qs
from quantseg.data.recipe import InputRecipe, Recipe
from quantseg.evaluation.checking.declared import array_layout, open_size, put_right, stride_of
from quantseg.graph import TensorSpec
from quantseg.quantization.float_model import RecipeSource
from tests.support import models, trained

NCHW, NHWC = TensorSpec("x", "float32", (1, 3, 32, 48)), TensorSpec("x", "float32", (1, 32, 48, 3))
OPEN = TensorSpec("x", "float32", (None, 3, None, None))


@pytest.mark.parametrize(
    ("spec", "layout", "right"), [(NCHW, "NHWC", "NCHW"), (NHWC, "NCHW", "NHWC"), (OPEN, "NHWC", "NCHW")]
)
def test_another_layout_is_found_and_put_right(spec: TensorSpec, layout: str, right: str) -> None:
    recipe, (finding,) = put_right(Recipe(InputRecipe(layout=layout)), [spec])
    assert finding.name == "layout"
    assert right in finding.remedy
    assert recipe.input.layout is None
    assert put_right(Recipe(InputRecipe(layout=right)), [spec])[1] == []


@pytest.mark.parametrize("spec", [NCHW, NHWC])
@pytest.mark.parametrize("size", [(33, 49), (32, 47), (48, 32)])
def test_another_size_is_found_and_put_right(spec: TensorSpec, size: tuple[int, int]) -> None:
    recipe, (finding,) = put_right(Recipe(InputRecipe(size=size)), [spec])
    assert finding.name == "size"
    assert recipe.input.size == (32, 48)


def test_what_does_not_contradict_stays() -> None:
    for recipe in (Recipe(), Recipe(InputRecipe(size=(32, 48), layout="NCHW"))):
        assert put_right(recipe, [NCHW]) == (recipe, [])
    free = Recipe(InputRecipe(size=(33, 49)))
    assert put_right(free, [OPEN]) == (free, [])


@pytest.mark.parametrize(
    ("shape", "spec", "wrong"),
    [
        ((1, 32, 48, 3), NCHW, True),
        ((32, 48, 3), NCHW, True),
        ((1, 3, 32, 48), NHWC, True),
        ((1, 3, 32, 48), NCHW, False),
        ((1, 3, 32, 40), NCHW, False),
        ((7, 9, 3), OPEN, True),
        ((3, 7, 9), OPEN, False),
    ],
)
def test_arrays_of_the_other_layout_are_seen(shape: tuple[int, ...], spec: TensorSpec, wrong: bool) -> None:
    found = array_layout(shape, spec)
    assert (found is not None) == wrong
    if found is not None and len(shape) == 4:
        axes = tuple(int(digit) for digit in found.remedy if digit.isdigit())
        assert np.zeros(shape).transpose(axes).shape[1:] == spec.shape[1:]


def test_an_open_size_is_the_images_as_the_model_divides_it() -> None:
    recipe, (finding,) = open_size(Recipe(), OPEN, (100, 130), 32)
    assert recipe.input.size == (96, 128)
    assert finding.name == "size-open"
    assert open_size(Recipe(), NCHW, (100, 130), 32) == (Recipe(), [])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_stride_of_a_unet_is_that_of_its_depth(depth: int) -> None:
    model = ir.serde.deserialize_model(models.unet(base=2, depth=depth, size=32))
    assert stride_of(model) == 2**depth


def opened_unet() -> onnx.ModelProto:
    """A U-Net whose height and width are open."""
    model = models.unet(base=2, depth=2, classes=trained.CLASSES, size=32)
    for value in (model.graph.input[0], model.graph.output[0]):
        for axis in value.type.tensor_type.shape.dim[2:]:
            axis.Clear()
    return model


def test_a_size_that_an_open_model_does_not_divide_is_named(tmp_path: Path) -> None:
    onnx.save(opened_unet(), tmp_path / "model.onnx")
    scenes = trained.write_scenes(tmp_path / "scenes", 2)
    wrong = qs.check(tmp_path / "model.onnx", scenes, recipe=RecipeSource(flags={"size": (33, 33)}))
    (finding,) = wrong.findings_of("size")
    assert "32x32" in finding.remedy
    right = qs.check(tmp_path / "model.onnx", scenes, recipe=RecipeSource(flags={"size": (36, 32)}))
    assert not right.findings_of("size")


def test_a_model_of_another_layout_is_checked_all_the_same(tmp_path: Path) -> None:
    onnx.save(trained.trained_on(trained.prepared("RGB", 1 / 255, 0.0, 1.0)), tmp_path / "model.onnx")
    scenes = trained.write_scenes(tmp_path / "scenes", 2)
    found = qs.check(tmp_path / "model.onnx", scenes, recipe=RecipeSource(flags={"layout": "NHWC"}))
    assert found.names() == ("layout",)
    assert found.recipe.input.layout == "NCHW"
    assert found.guess is not None
    np.save(tmp_path / "scenes" / "array.npy", np.zeros((1, 32, 32, 3), np.float32))
    (tmp_path / "arrays").mkdir()
    (tmp_path / "scenes" / "array.npy").rename(tmp_path / "arrays/0.npy")
    assert qs.check(tmp_path / "model.onnx", tmp_path / "arrays").names() == ("layout",)
