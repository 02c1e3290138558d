"""All inputs of a model: by name from files and dicts, else constants; what is missing or does not fit is one line."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.data import Item, ModelInputs, open_dataset
from quantseg.data.model_inputs import identity, without_constants
from quantseg.data.recipe import InputRecipe, Recipe, complete, image_input
from quantseg.data.sources import opener
from quantseg.errors import DataError, RecipeError
from quantseg.graph import TensorSpec
from tests.support.several_inputs import SIZE, all_feeds, feeds, write_images, write_npz

X = TensorSpec("x", "float32", (1, 3, *SIZE))
PRIOR = TensorSpec("prior", "float32", (1, 1, *SIZE))
SCALE = TensorSpec("scale", "float32", (1,))
COUNT = TensorSpec("count", "int64", ())
SPECS = (PRIOR, X, SCALE)
RECIPE = complete(Recipe(), SPECS, [TensorSpec("y", "float32", (1, 3, *SIZE))], model="m.onnx")


def inputs(*specs: TensorSpec, **constants: object) -> ModelInputs:
    return ModelInputs.among(specs or SPECS, X, constants, model="m.onnx")


def assert_is(item: Item, expected: dict[str, np.ndarray]) -> None:
    found = item.feeds("x")
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])
        assert array.dtype == expected[name].dtype


def test_a_file_holds_every_input_by_name(tmp_path: Path) -> None:
    data = open_dataset(write_npz(tmp_path), RECIPE, inputs=inputs())
    again = pickle.loads(pickle.dumps(data))
    for number, expected in enumerate(all_feeds()):
        assert_is(again.load(number), expected)
        assert data.digest(number) == hashlib.sha256((tmp_path / f"{number}.npz").read_bytes()).hexdigest()


def test_other_arrays_of_a_file_are_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", labels=np.zeros(3), **feeds(0))
    assert_is(open_dataset(tmp_path, RECIPE, inputs=inputs()).load(0), feeds(0))


class Loader:
    """A torch DataLoader of dicts: batches, the last one smaller, and keys that are no inputs."""

    def __iter__(self) -> Any:
        for rows in ((0, 1, 2), (3,)):
            yield {name: np.concatenate([feeds(row)[name] for row in rows]) for name in feeds(0)} | {"id": "a"}


SOURCES = {
    "dicts": list(all_feeds()),
    "a generator of dicts": all_feeds(),
    "dicts without the batch axis": [
        {name: array if name == "scale" else array[0] for name, array in one.items()} for one in all_feeds()
    ],
    "batches": Loader(),
}


@pytest.mark.parametrize("name", SOURCES)
def test_dicts_in_memory_are_the_same_data(name: str) -> None:
    data = opener(SOURCES[name])(RECIPE, inputs())
    assert len(data.names) == 4
    for number, expected in enumerate(all_feeds()):
        assert_is(data.load(number), expected)


def test_a_dict_may_have_a_mask_and_be_one_of_few() -> None:
    masks = [np.full(SIZE, number) for number in range(4)]
    data = opener(list(zip(all_feeds(), masks, strict=True)), limit=2)(RECIPE, inputs())
    assert [int(data.load(k).mask[0, 0]) for k in range(2)] == [0, 2]  # type: ignore[index]
    assert_is(data.load(1), feeds(2))


def test_the_digest_of_a_dict_covers_all_inputs() -> None:
    base = feeds(0)
    others = [
        base,
        base | {"prior": base["prior"] + 1},
        base | {"scale": base["scale"] + 1},
        base | {"x": base["x"] + 1},
    ]
    found = [opener([one])(RECIPE, inputs()).digest(0) for one in (*others, base | {"unread": base["x"]})]
    assert len(set(found)) == 4
    assert found[0] == found[-1]


def test_constants_are_the_other_inputs_of_images(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", feeds(3)["prior"])
    images = write_images(tmp_path / "images")
    for prior in (tmp_path / "p.npy", str(tmp_path / "p.npy"), feeds(3)["prior"]):
        item = open_dataset(images, RECIPE, inputs=inputs(prior=prior, scale=2)).load(1)
        assert_is(item, {"x": item.tensor, "prior": feeds(3)["prior"], "scale": np.array([2], np.float32)})
        assert item.image is not None


def test_constants_fill_what_files_lack(tmp_path: Path) -> None:
    data = open_dataset(write_npz(tmp_path, without=("scale",)), RECIPE, inputs=inputs(scale=0.25))
    assert_is(data.load(2), feeds(2) | {"scale": np.array([0.25], np.float32)})


def test_a_file_of_one_array_is_the_image_whatever_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", anything=feeds(0)["x"])
    item = open_dataset(tmp_path, RECIPE, inputs=inputs(prior=0.5, scale=1)).load(0)
    assert_is(
        item, {"x": feeds(0)["x"], "prior": np.full((1, 1, *SIZE), 0.5, np.float32), "scale": np.ones(1, np.float32)}
    )


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        (0.5, PRIOR, np.full((1, 1, *SIZE), 0.5, np.float32)),
        (3, COUNT, np.array(3)),
        (np.float64(0.25), SCALE, np.array([0.25], np.float32)),
        (np.array(0.25), SCALE, np.array([0.25], np.float32)),
        ([7], SCALE, np.array([7], np.float32)),
        (0.5, TensorSpec("o", "float32", (None, 1, None, None)), np.full((5, 1, *SIZE), 0.5, np.float32)),
        (1, TensorSpec("b", "bool", (None,)), np.ones(5, np.bool_)),
    ],
)
def test_a_number_fills_the_shape_and_open_sizes_are_the_images(value: object, spec: TensorSpec, expected: Any) -> None:
    item = Item("a", np.zeros((5, 3, *SIZE), np.float32), None, None)
    found = ModelInputs.among((X, spec), X, {spec.name: value}, model="m").filled(item).others[spec.name]
    np.testing.assert_array_equal(found, expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)


@pytest.mark.parametrize(
    ("specs", "constants", "message"),
    [
        (
            SPECS,
            {"z": 1},
            r"^m.onnx: inputs=… names 'z', which is no input; beside the image it has 'prior' .*, 'scale' ",
        ),
        (SPECS, {"x": 1}, r"^m.onnx: inputs=… names 'x', which takes the images; leave it out$"),
        (SPECS, {"prior": "no.npy"}, r"^no.npy: no such file for input 'prior'; give a number or an .npy file$"),
        (SPECS, {"prior": np.zeros((1, 1, 2, 2), np.float32)}, r"^inputs=prior=…: shape 1x1x2x2 does not fit input "),
        (
            SPECS,
            {"prior": np.zeros((1, 1, *SIZE))},
            r"^inputs=prior=…: float64 values, input 'prior' .* takes float32; ",
        ),
        (SPECS, {"prior": object()}, r"^inputs=prior=…: object is no number and no array; give either$"),
        (SPECS, {"prior": [[1], [1, 2]]}, r"^inputs=prior=…: list is no number and no array; give either$"),
        (SPECS, {"scale": [1, 2]}, r"^inputs=scale=…: shape 2 does not fit input 'scale' float32 1; "),
        (
            (X, COUNT),
            {"count": 0.5},
            r"^inputs=count=…: 0.5 does not fit input 'count' int64 scalar; give int64 numbers$",
        ),
        ((X, TensorSpec("t", "string", (1,))), {"t": 1}, r"^inputs=t=…: input 't' string 1 takes no numbers; "),
    ],
)
def test_a_constant_that_does_not_fit_is_one_line(
    specs: tuple[TensorSpec, ...], constants: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        inputs(*specs, **constants)
    assert "\n" not in str(error.value)


MISSING = (
    "a: input 'prior' float32 1x1x12x16 is not given; save it in .npz files under that name, "
    "or give inputs=prior=NUMBER or inputs=prior=FILE.npy"
)


@pytest.mark.parametrize(
    ("item", "spec", "constants", "message"),
    [
        ({}, PRIOR, {}, MISSING),
        (feeds(0), PRIOR, {"prior": 0.5}, "a: holds input 'prior', which inputs=… gives too; leave one out"),
        (
            {"prior": np.zeros((1, 1, *SIZE))},
            PRIOR,
            {},
            "a: float64 values, input 'prior' float32 1x1x12x16 takes float32",
        ),
        (
            {"scale": np.zeros(2, np.float32)},
            SCALE,
            {},
            "a: shape 2 does not fit input 'scale' float32 1; save it in that",
        ),
        (
            {},
            TensorSpec("o", "float32", (1, None)),
            {"o": 1},
            "input 'o' float32 1x? has open sizes, which a number cannot",
        ),
        (
            {},
            TensorSpec("o", "float32", (1, 1 << 30)),
            {"o": 1},
            "input 'o' float32 1x1073741824: 1,073,741,824 numbers, mo",
        ),
    ],
)
def test_an_input_that_is_missing_or_does_not_fit_is_one_line(
    item: dict[str, Any], spec: TensorSpec, constants: dict[str, object], message: str
) -> None:
    held = Item("a", feeds(0)["x"], None, None, {name: array for name, array in item.items() if name != "x"})
    with pytest.raises(DataError) as error:
        inputs(X, spec, **constants).filled(held)
    assert str(error.value).startswith(message)


def test_a_file_without_the_image_says_what_it_holds(tmp_path: Path) -> None:
    for number, held in enumerate((("prior",), ("prior", "scale"))):
        np.savez(tmp_path / f"{number}.npz", **{name: feeds(0)[name] for name in held})
        with pytest.raises(
            DataError, match=rf"{number}.npz: holds {', '.join(map(repr, held))} and not input 'x' float32"
        ):
            open_dataset(tmp_path, RECIPE, inputs=inputs()).load(number)


def test_an_array_of_a_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **feeds(0) | {"prior": np.zeros((1, 1, 2, 2), np.float32)})
    with pytest.raises(DataError, match=r"a.npz: shape 1x1x2x2 does not fit input 'prior' float32 1x1x12x16"):
        open_dataset(tmp_path, RECIPE, inputs=inputs()).load(0)


VALUES = st.dictionaries(st.sampled_from(["a", "b", "inputs]"]), st.sampled_from([0, 0.5, -0.5]), max_size=3)


@given(VALUES, VALUES)
def test_constants_are_equal_where_their_identities_are(one: dict[str, float], other: dict[str, float]) -> None:
    texts = [identity({name: np.asarray(value, np.float32) for name, value in some.items()}) for some in (one, other)]
    assert (texts[0] == texts[1]) == (one == other)
    assert (texts[0] == "") == (not one)
    assert without_constants(RECIPE.to_toml() + texts[0]) == RECIPE.to_toml()


def test_an_array_is_another_constant_than_its_numbers_in_another_shape() -> None:
    base = np.arange(4, dtype=np.float32)
    some = (base, base.reshape(2, 2), base + 1, base.astype(np.float64))
    assert len({identity({"a": array}) for array in some}) == len(some)


# Which input takes the image


@pytest.mark.parametrize(
    ("recipe", "shapes", "expected"),
    [
        (InputRecipe(), ((1, 1, 8, 9), (1, 3, 8, 9)), 1),
        (InputRecipe(), ((1, 8, 9, 1), (1, 8, 9, 3)), 1),
        (InputRecipe(), ((1, 5, 8, 9), (1, 1, 8, 9)), 1),
        (InputRecipe(), ((1, 5, 8, 9), (1, 7, 8, 9)), 0),
        (InputRecipe(channels="GRAY"), ((1, 3, 8, 9), (1, 1, 8, 9)), 1),
        (InputRecipe(name="b"), ((1, 1, 8, 9), (1, 3, 8, 9), (1, 3, 8, 9)), 1),
        (InputRecipe(name="a"), ((1, 1, 8, 9), (1, 3, 8, 9)), 0),
    ],
)
def test_the_image_goes_to_the_input_that_looks_most_like_one(recipe: InputRecipe, shapes: Any, expected: int) -> None:
    specs = [TensorSpec(name, "float32", shape) for name, shape in zip("abc", shapes, strict=False)]
    assert image_input(specs, recipe) == specs[expected]
    done = complete(Recipe(recipe), specs, [TensorSpec("y", "float32", (1, 2, 8, 9))], model="m")
    assert image_input(specs, done.input) == specs[expected]
    assert complete(done, specs, [TensorSpec("y", "float32", (1, 2, 8, 9))], model="m") == done
    assert done.input.name == recipe.name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("z", "input.name: no input 'z'; the model has 'prior' "),
        ("scale", "input.name: input 'scale' float32 1 takes no "),
    ],
)
def test_a_name_that_is_no_image_is_one_line(name: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        image_input(SPECS, InputRecipe(name=name))
    assert str(error.value).startswith(message)
