"""Recipes: TOML there and back, flags on top, the rest decided from the model's signature."""

import dataclasses
import string
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.data.recipe import (
    InputRecipe,
    OutputRecipe,
    Recipe,
    complete,
    image_input,
    override,
    parse_numbers,
    parse_size,
    recipe_from_file,
    recipe_from_toml,
)
from quantseg.errors import ModelError, RecipeError
from quantseg.graph import TensorSpec
from tests.support.special_files import SPECIAL

IMAGE = TensorSpec("x", "float32", (1, 3, 64, 96))
LOGITS = TensorSpec("y", "float32", (1, 5, 64, 96))

sides = st.integers(1, 16384)
numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
inputs = st.builds(
    InputRecipe,
    size=st.none() | st.tuples(sides, sides),
    layout=st.sampled_from([None, "NCHW", "NHWC"]),
    channels=st.sampled_from([None, "RGB", "BGR", "GRAY"]),
    scale=positive,
    mean=st.lists(numbers, min_size=1, max_size=3).map(tuple),
    std=st.lists(positive, min_size=1, max_size=3).map(tuple),
    resize=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos", "box"]),
)
outputs = st.builds(
    OutputRecipe,
    name=st.none() | st.text(),
    layout=st.sampled_from([None, "NCHW", "NHWC", "NHW"]),
    head=st.sampled_from([None, "argmax", "threshold", "multilabel", "labels"]),
    threshold=numbers,
    classes=st.lists(st.text(), unique=True, max_size=4).map(tuple),
    ignore_index=st.none() | st.integers(-(2**63), 2**63 - 1),
)
recipes = st.builds(Recipe, inputs, outputs)


@pytest.mark.slow
@given(recipes)
def test_toml_there_and_back_is_the_same_recipe(recipe):
    assert recipe_from_toml(recipe.to_toml(), source="r.toml") == recipe


@given(recipes, recipes)
def test_equal_recipes_have_equal_text_and_hash_and_others_differ(a, b):
    twin = Recipe(dataclasses.replace(a.input), dataclasses.replace(a.output))
    assert twin == a
    assert hash(twin) == hash(a)
    assert twin.to_toml() == a.to_toml()
    assert (a == b) == (a.to_toml() == b.to_toml())


def test_an_empty_text_is_the_default_recipe():
    assert recipe_from_toml("", source="r.toml") == Recipe()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("[input]\nsise = [1, 2]", ["r.toml", "input", "'sise'", "did you mean 'size'", "resize"]),
        ("[inptu]", ["r.toml", "'inptu'", "did you mean 'input'"]),
        ("input = 3", ["input", "[input]"]),
        ("[input]\nstd = 0", ["input.std", "positive"]),
        ("[input]\nstd = [1.0, -1.0, 1.0]", ["input.std", "positive"]),
        ("[input]\nmean = []", ["input.mean"]),
        ("[input]\nmean = [nan]", ["input.mean", "finite"]),
        ("[input]\nscale = inf", ["input.scale"]),
        ("[input]\nscale = true", ["input.scale", "number"]),
        ("[input]\nscale = '1'", ["input.scale", "number"]),
        ("[input]\nsize = [1]", ["input.size", "height, width"]),
        ("[input]\nsize = [1.5, 2]", ["input.size", "whole"]),
        ("[input]\nsize = [0, 2]", ["input.size", "16384"]),
        ("[input]\nsize = [1, 100000]", ["input.size", "16384"]),
        ("[input]\nlayout = 'CHW'", ["input.layout", "'CHW'", "NCHW, NHWC"]),
        ("[input]\nchannels = 'RBG'", ["input.channels", "RGB, BGR, GRAY"]),
        ("[input]\nresize = 'cubic'", ["input.resize", "bicubic"]),
        ("[output]\nhead = 'softmax'", ["output.head", "argmax, threshold, multilabel, labels"]),
        ("[output]\nclasses = ['a', 'a']", ["output.classes", "differ"]),
        ("[output]\nclasses = [1]", ["output.classes", "strings"]),
        ("[output]\nignore_index = 1.0", ["output.ignore_index", "whole"]),
        ("[output]\nthreshold = nan", ["output.threshold", "finite"]),
        ("[output", ["r.toml", "TOML"]),
        ("a = " + "[" * 100_000, ["r.toml", "TOML"]),
        ("[input]\nscale = " + "9" * 5000, ["r.toml", "TOML"]),
        ("[input]\nscale = " + "9" * 400, ["input.scale", "number"]),
    ],
)
def test_a_wrong_recipe_is_one_line_that_names_the_key(text, facts):
    with pytest.raises(RecipeError) as caught:
        recipe_from_toml(text, source="r.toml")
    message = str(caught.value)
    assert message.startswith("r.toml: ")
    assert "\n" not in message
    assert len(message) < 300
    for fact in facts:
        assert fact in message


@given(recipes)
def test_override_with_nothing_changes_nothing(recipe):
    assert override(recipe, size=None, mean=None, head=None, output=None) == recipe


def test_override_replaces_what_is_given_and_only_that():
    recipe = Recipe(InputRecipe(scale=1.0, mean=(2.0,)), OutputRecipe(head="argmax", classes=("a", "b")))
    changed = override(recipe, size=(4, 6), mean=[0.1, 0.2, 0.3], layout="NHWC", output="y", output_layout="NCHW")
    assert changed.input == InputRecipe(size=(4, 6), layout="NHWC", scale=1.0, mean=(0.1, 0.2, 0.3))
    assert changed.output == OutputRecipe(name="y", layout="NCHW", head="argmax", classes=("a", "b"))


def test_override_refuses_wrong_values_and_unknown_flags():
    with pytest.raises(RecipeError, match=r"input\.resize"):
        override(Recipe(), resize="cubic")
    with pytest.raises(TypeError, match="sise"):
        override(Recipe(), sise=(1, 2))


@given(sides, sides)
def test_sizes_are_height_then_width(height, width):
    assert parse_size(f"{height}x{width}") == (height, width)
    assert parse_size(str(height)) == (height, height)


@pytest.mark.parametrize("text", ["", "x", "3x", "3x4x5", "-3", "1.5", "３x４", "9" * 5000])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(RecipeError, match="256x320"):
        parse_size(text)


def test_numbers_are_separated_by_commas():
    assert parse_numbers("0.5, 1,-2e1") == (0.5, 1.0, -20.0)
    with pytest.raises(RecipeError):
        parse_numbers("1;2")


def test_a_plain_model_decides_everything():
    done = complete(Recipe(), [IMAGE], [LOGITS], model="m.onnx")
    assert done.input == InputRecipe(size=(64, 96), layout="NCHW", channels="RGB")
    assert done.output == OutputRecipe(
        name="y", layout="NCHW", head="argmax", classes=tuple(f"class {k}" for k in range(5))
    )


# The signatures that real models have: shape in and out, with the recipe that a person would expect.
@pytest.mark.parametrize(
    ("shape", "dtype", "shape_out", "dtype_out", "layout", "channels", "layout_out", "head"),
    [
        ((1, 257, 257, 3), "float32", (1, 257, 257, 21), "float32", "NHWC", "RGB", "NHWC", "argmax"),
        ((1, 512, 896, 3), "float32", (1, 512, 896, 4), "float32", "NHWC", "RGB", "NHWC", "argmax"),
        ((None, 3, 64, 96), "float32", (None, 1, 64, 96), "float32", "NCHW", "RGB", "NCHW", "threshold"),
        ((1, 1, 64, 96), "float16", (1, 2, 64, 96), "float16", "NCHW", "GRAY", "NCHW", "argmax"),
        ((1, 3, 64, 96), "float32", (1, 64, 96), "int64", "NCHW", "RGB", "NHW", "labels"),
        ((1, 3, 64, 96), "float32", (1, 64, 96), "float32", "NCHW", "RGB", "NHW", "threshold"),
        ((1, 3, 64, 96), "float32", (1, 1, 64, 96), "int32", "NCHW", "RGB", "NCHW", "labels"),
        # The output stands the other way round than the input, or is smaller than the image.
        ((1, 3, 64, 96), "float32", (1, 64, 96, 5), "float32", "NCHW", "RGB", "NHWC", "argmax"),
        ((1, 3, 64, 96), "float32", (1, 5, 16, 24), "float32", "NCHW", "RGB", "NCHW", "argmax"),
        ((1, 64, 96, 3), "float32", (1, 16, 24, 5), "float32", "NHWC", "RGB", "NHWC", "argmax"),
        ((1, 64, 96, 3), "float32", (1, 5, 16, 24), "float32", "NHWC", "RGB", "NCHW", "argmax"),
        ((1, 257, 385, 3), "float32", (1, 5, 33, 49), "float32", "NHWC", "RGB", "NCHW", "argmax"),
        ((1, 12, 64, 96), "float32", (1, 5, 64, 96), "float32", "NCHW", None, "NCHW", "argmax"),
    ],
)
def test_signatures_of_real_models(shape, dtype, shape_out, dtype_out, layout, channels, layout_out, head):
    specs = [TensorSpec("x", dtype, shape)], [TensorSpec("y", dtype_out, shape_out)]
    done = complete(Recipe(), *specs, model="m.onnx")
    assert (done.input.layout, done.input.channels) == (layout, channels)
    assert (done.output.layout, done.output.head) == (layout_out, head)
    assert complete(done, *specs, model="m.onnx") == done


def test_a_dynamic_model_takes_the_size_that_is_given():
    specs = [TensorSpec("x", "float32", (None, 3, None, None))], [TensorSpec("y", "float32", (None,) * 4)]
    with pytest.raises(RecipeError, match="size=HxW"):
        complete(Recipe(), *specs, model="m.onnx")
    done = complete(override(Recipe(), size=(32, 48)), *specs, model="m.onnx")
    assert done.input.size == (32, 48)
    assert done.output.layout == "NCHW"


def test_an_integer_input_gets_raw_pixels():
    spec = TensorSpec("x", "uint8", (1, 64, 96, 3))
    done = complete(Recipe(), [spec], [LOGITS], model="m.onnx")
    assert (done.input.scale, done.input.mean, done.input.std) == (1.0, (0.0,), (1.0,))
    with pytest.raises(RecipeError, match="raw pixels"):
        complete(override(Recipe(), mean=(0.5,)), [spec], [LOGITS], model="m.onnx")


def test_one_class_name_of_a_threshold_is_the_foreground():
    out = TensorSpec("y", "float32", (1, 1, 64, 96))
    done = complete(override(Recipe(), classes=["road"]), [IMAGE], [out], model="m.onnx")
    assert done.output.classes == ("background", "road")


def test_the_image_is_found_among_other_inputs_and_outputs():
    other = TensorSpec("length", "int64", (1,))
    features = TensorSpec("features", "float32", (1, 40, 8, 8))
    pooled = TensorSpec("pooled", "float32", (1, 512, 1, 1))
    boxes = TensorSpec("boxes", "float32", (1, 100, 4))
    assert image_input([other, features, IMAGE], InputRecipe()) == IMAGE
    done = complete(Recipe(), [other, IMAGE], [pooled, boxes, LOGITS], model="m.onnx")
    assert done.output.name == "y"


@pytest.mark.parametrize(
    ("flags", "shape", "shape_out", "error", "facts"),
    [
        ({}, (1, 12), (1, 2), ModelError, ["no image-like input", "'x' float32 1x12"]),
        ({}, (1, 3, 64, 96), (1, 1000), ModelError, ["no image-like output", "1x1000"]),
        ({"size": (32, 96)}, (1, 3, 64, 96), (1, 5, 64, 96), RecipeError, ["32x96", "1x3x64x96"]),
        ({"channels": "GRAY"}, (1, 3, 64, 96), (1, 5, 64, 96), RecipeError, ["GRAY", "has 3"]),
        ({"channels": "RGB"}, (1, 5, 64, 96), (1, 5, 64, 96), RecipeError, ["RGB", "has 5"]),
        (
            {"layout": "NHWC", "channels": "RGB"},
            (1, 3, 64, 96),
            (1, 5, 64, 96),
            RecipeError,
            ["has 96", "NHWC"],
        ),
        ({"mean": (1.0, 2.0)}, (1, 3, 64, 96), (1, 5, 64, 96), RecipeError, ["input.mean", "1 or 3"]),
        ({"std": (1.0, 2.0)}, (1, 1, 64, 96), (1, 5, 64, 96), RecipeError, ["input.std", "for 1 channels"]),
        ({"output": "z"}, (1, 3, 64, 96), (1, 5, 64, 96), RecipeError, ["no output 'z'", "'y'"]),
        ({"head": "labels"}, (1, 3, 64, 96), (1, 5, 64, 96), RecipeError, ["output.head", "integers"]),
        ({"head": "threshold"}, (1, 3, 64, 96), (1, 5, 64, 96), RecipeError, ["one channel", "5"]),
        ({"output_layout": "NHW"}, (1, 3, 64, 96), (1, 5, 64, 96), RecipeError, ["output.layout"]),
        ({"classes": ["a", "b"]}, (1, 3, 64, 96), (1, 5, 64, 96), RecipeError, ["2 names", "5 classes"]),
        ({"size": (64, 96)}, (1, None, None, None), (1, 5, 64, 96), RecipeError, ["input.layout", "NHWC"]),
        ({}, (1, 64, 64, 64), (1, 5, 64, 64), RecipeError, ["input.layout"]),
    ],
)
def test_a_contradiction_between_recipe_and_model_is_told(flags, shape, shape_out, error, facts):
    specs = [TensorSpec("x", "float32", shape)], [TensorSpec("y", "float32", shape_out)]
    with pytest.raises(error) as caught:
        complete(override(Recipe(), **flags), *specs, model="m.onnx")
    assert str(caught.value).startswith("m.onnx: ")
    assert "\n" not in str(caught.value)
    for fact in facts:
        assert fact in str(caught.value)


def test_no_letter_of_a_name_breaks_the_line():
    odd = TensorSpec("".join(c for c in string.whitespace), "int64", (1,))
    with pytest.raises(ModelError) as caught:
        complete(Recipe(), [odd], [], model="m.onnx")
    assert "\n" not in str(caught.value)


HARMFUL = {
    "dotted key": "a." * 50_000 + "b=1",
    "dotted table": f"[{'a.' * 50_000}b]",
    "quoted parts": '"a".' * 30_000 + "b=1",
    "spaces between": "a . " * 30_000 + "b=1",
    "behind a string": 'x = """\n""" \n' + "a." * 50_000 + "b=1",
    "in an inline table": "x = {" + "a." * 50_000 + "b=1}",
    "too long": "# " + "x" * (1 << 18),
    "lists in lists": "x=" + "[" * 100_000,
    "tables in tables": "x=" + "{a=" * 50_000,
    "open string": '"""' + '\\"""' * 50_000,
    "open quotes": '"' * 200_000,
    "many tables": "".join(f"[a.b.c.d.e.f.g{k}]\n" for k in range(12_000)),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_recipe_of_a_stranger_takes_little_time_and_is_one_short_line(name: str) -> None:
    start = time.process_time()
    with pytest.raises(RecipeError) as caught:
        recipe_from_toml(HARMFUL[name], source="r.toml")
    assert time.process_time() - start < 5  # those that were not bounded took half a minute, and gigabytes
    assert str(caught.value).startswith("r.toml: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


dots = st.lists(
    st.sampled_from(["a.b", "...", "1.5", "x" * 9 + "." * 9, '"', "'", "#", "\\", "[", "{", "="]), max_size=6
)


@given(dots.map("".join))
def test_dots_in_strings_and_comments_are_no_parts_of_keys(text: str) -> None:
    recipe = Recipe(output=OutputRecipe(name="n" + "." * 20, classes=(text, f"{text}.{'.' * 20}")))
    commented = f"# {text} {'a.' * 20}\n{recipe.to_toml()}# {'a.' * 20}"
    assert recipe_from_toml(commented, source="r.toml") == recipe


@pytest.mark.parametrize("kind", [*SPECIAL, "folder", "nothing"])
def test_a_recipe_is_read_from_files_alone(kind: str, tmp_path: Path) -> None:
    if kind in SPECIAL:
        SPECIAL[kind][0](tmp_path / "r.toml")
    elif kind == "folder":
        (tmp_path / "r.toml").mkdir()
    with pytest.raises(RecipeError, match=r"r\.toml: cannot be read \(.+\); give a recipe in TOML"):
        recipe_from_file(tmp_path / "r.toml")


def test_a_file_of_a_recipe_is_bounded_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "r.toml").open("wb") as stream:
        stream.truncate(1 << 40)  # a sparse file of a terabyte
    with pytest.raises(RecipeError, match="more than 262,144 bytes"):
        recipe_from_file(tmp_path / "r.toml")
