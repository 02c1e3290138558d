"""Which preprocessing fits: every family is found in a model of its own, and mistakes are called by name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import quantseg as qs
from quantseg.data.recipe import InputRecipe
from quantseg.evaluation.checking.early_layers import InputFit
from quantseg.evaluation.checking.families import FAMILIES, IMAGENET, PreprocessingFamily, candidates, family_of, same
from quantseg.evaluation.checking.preprocessing import Seen, evidence_of_order, finding
from quantseg.evaluation.checking.trials import Outputs, PreprocessingTrial
from quantseg.quantization.float_model import RecipeSource
from tests.support import trained

PREPROCESSING = {"preprocessing", "channel-order", "scale", "mean-and-std"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained.write_scenes(tmp_path_factory.mktemp("scenes"))


def checked(family: PreprocessingFamily, scenes: Path, folder: Path, **changed: object) -> "qs.Check":
    """The check of a model trained with the family, given its own recipe with some flags changed."""
    inputs = trained.prepared(family.channels, family.scale, family.mean, family.std)
    onnx.save(trained.trained_on(inputs), folder / "model.onnx")
    flags = {"channels": family.channels, "scale": family.scale, "mean": family.mean, "std": family.std, **changed}
    return qs.check(folder / "model.onnx", scenes, recipe=RecipeSource(flags=flags))


def family(start: str) -> PreprocessingFamily:
    return next(one for one in FAMILIES if one.name.startswith(start))


@pytest.mark.parametrize("name", [one.name for one in FAMILIES])
def test_every_family_is_found_and_its_recipe_is_not_suspected(name: str, scenes: Path, tmp_path: Path) -> None:
    own = family(name)
    found = checked(own, scenes, tmp_path)
    assert not PREPROCESSING & set(found.names())
    assert found.guess is not None
    assert found.guess.family == name
    other = checked(own, scenes, tmp_path, channels="RGB", scale=1 / 64, mean=(7.0,), std=(0.2,))
    assert PREPROCESSING & set(other.names())
    assert other.guess is not None
    assert same(other.guess.recipe.input, own.applied(other.recipe.input))


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"channels": "BGR"}, "channel-order"),
        ({"scale": 1.0}, "scale"),
        ({"scale": 1 / 255**2}, "scale"),
        ({"mean": (0.0,), "std": (1.0,)}, "mean-and-std"),
        ({"std": (1.0,)}, "mean-and-std"),
    ],
)
def test_mistakes_are_called_by_name(changed: dict[str, object], name: str, scenes: Path, tmp_path: Path) -> None:
    found = checked(family("torchvision"), scenes, tmp_path, **changed)
    assert name in found.names()
    assert PREPROCESSING & set(found.names()) == {name}
    assert found.guess is not None
    assert found.guess.family.startswith("torchvision")


def test_candidates_are_each_other_numbers_and_begin_with_the_given() -> None:
    given = InputRecipe((8, 8), "NCHW", "RGB", 1 / 255, *IMAGENET)
    tried = list(candidates(given).values())
    assert tried[0] == given
    assert not any(same(one, other) for k, one in enumerate(tried) for other in tried[:k])
    assert family_of(given) == FAMILIES[0].name


def test_the_same_numbers_written_otherwise_are_the_same() -> None:
    pixels = InputRecipe((8, 8), "NCHW", "RGB", 1.0, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    assert same(pixels, replace(pixels, scale=1 / 255, mean=IMAGENET[0], std=IMAGENET[1]))
    assert not same(pixels, replace(pixels, channels="BGR"))


def seen(recipe: InputRecipe, distance: float | None, sureness: float, accuracy: float | None = None) -> Seen:
    outputs = Outputs((np.eye(4, dtype=np.int64)[None],), ((1, 2, 4, 4),), sureness, 1.0)
    return Seen(PreprocessingTrial("", recipe, InputFit(distance, 0.1, 1.0, None), outputs), accuracy)


RGB = InputRecipe((4, 4), "NCHW", "RGB", 1 / 255, *IMAGENET)
BGR = replace(RGB, channels="BGR")


def test_evidence_of_the_order_is_antisymmetric() -> None:
    one, other = seen(RGB, 0.3, 0.8, 0.9), seen(BGR, 0.5, 0.7, 0.8)
    assert evidence_of_order(one, other) == pytest.approx(-evidence_of_order(other, one))
    assert evidence_of_order(other, one) > 0


def test_right_pixels_outweigh_a_slightly_better_fit() -> None:
    given, swapped = seen(RGB, 0.4, 0.8, 0.9), seen(BGR, 0.3, 0.8, 0.7)
    assert finding(given, given, swapped) is None


def test_little_evidence_is_no_finding() -> None:
    given, swapped = seen(RGB, 0.66, 0.5), seen(BGR, 0.62, 0.5)
    assert finding(given, given, swapped) is None
