"""quantseg check: what it prints and writes, and the warnings of other commands."""

import ast
import json
from pathlib import Path

import onnx
import pytest

from quantseg.data.recipe import recipe_from_file
from tests.support import trained
from tests.support.command_line import Command
from tests.support.places import ROOT, WEIGHTS

MEAN, STD = "0.485,0.456,0.406", "0.229,0.224,0.225"
RIGHT = ("--mean", MEAN, "--std", STD)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.onnx, made for ImageNet's mean and std in RGB, and train/ and val/ of scenes."""
    folder = tmp_path_factory.mktemp("place")
    inputs = trained.prepared("RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    onnx.save(trained.trained_on(inputs), folder / "model.onnx")
    trained.write_scenes(folder / "data/train", 4)
    trained.write_scenes(folder / "data/val", 4, first=4)
    return folder


def test_a_wrong_recipe_is_named_and_the_printed_one_is_right(quantseg: Command, place: Path, tmp_path: Path) -> None:
    recipe, words = tmp_path / "recipe.toml", ("check", place / "model.onnx", "--data", place / "data/val")
    told = quantseg(*words, "--json", tmp_path / "check.json", "--output", recipe)
    assert told.code == 0
    assert recipe.read_text(encoding="utf-8").startswith(told.out.split("Recipe to use:\n\n")[1].split("\nwrote")[0])
    assert told.out.startswith("warning mean-and-std: RGB, x = pixel / 255 does not fit")
    assert f"give --mean {MEAN} --std {STD}" in told.out
    assert "classes          4" in told.out
    content = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert not content["fine"]
    assert [finding["name"] for finding in content["findings"]] == ["mean-and-std", "one-class"]
    assert recipe_from_file(recipe).input.mean == (0.485, 0.456, 0.406)
    again = quantseg("check", place / "model.onnx", "--data", place / "data/val", "--recipe", recipe)
    assert again.out.startswith("nothing wrong was seen\n")
    assert "Recipe to use" not in again.out
    assert quantseg(*words, "--output", recipe).code == 0
    recipe.write_text(f"# mine\n{recipe.read_text(encoding='utf-8')}", encoding="utf-8")
    refused = quantseg(*words, "--output", recipe)
    assert (refused.code, "was changed since quantseg check wrote it" in refused.err) == (2, True)


def test_the_model_alone(quantseg: Command, place: Path) -> None:
    told = quantseg("check", place / "model.onnx")
    assert told.code == 0
    assert "inputs           'x' float32 1x3x32x32" in told.out
    assert "head             argmax" in told.out
    assert "--data" in told.out


def test_splits_and_images_of_both_sets(quantseg: Command, place: Path) -> None:
    model, data = place / "model.onnx", place / "data"
    assert "warning splits:" in quantseg("check", model, "--data", data, *RIGHT).out
    assert f"give {data}#val" in quantseg("check", model, "--data", data, *RIGHT).out
    apart = quantseg("check", model, "--data", data / "val", "--calib", data / "train", *RIGHT)
    assert apart.out.startswith("nothing wrong")
    same = quantseg("check", model, "--data", data / "val", "--calib", data, *RIGHT)
    assert "warning splits: 4 of the 4 images" in same.out


def test_masks_of_other_images(quantseg: Command, place: Path, tmp_path: Path) -> None:
    data = place / "data/val"
    assert "masks-of" not in quantseg("check", place / "model.onnx", "--data", data, *RIGHT).out
    other = tmp_path / "masks"
    other.mkdir()
    for number in range(4):
        (other / f"{number:02d}.png").write_bytes((data / f"masks/{(number + 1) % 4:02d}.png").read_bytes())
    told = quantseg("check", place / "model.onnx", "--data", data, "--masks", other, *RIGHT)
    assert "warning masks-of-another-set:" in told.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--masks", "m"), "error: --masks belongs to images; give them with --data"),
        (("--data", "nowhere"), "error: nowhere: no such folder"),
    ],
)
def test_what_cannot_be_checked_is_one_line(
    words: tuple[str, ...], told: str, quantseg: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    outcome = quantseg("check", "model.onnx", *words)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith(told)


@pytest.mark.slow
def test_the_same_words_twice(quantseg: Command, place: Path) -> None:
    words = ("check", place / "model.onnx", "--data", place / "data/val", "--channels", "BGR")
    assert quantseg(*words).out == quantseg(*words).out


def test_other_commands_warn_before_they_work_and_write_the_same(
    quantseg: Command, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("calibrate", place / "model.onnx", "--data", place / "data/val", "-o")
    wrong = quantseg(*words, tmp_path / "one.json")
    assert wrong.code == 0
    (line,) = [line for line in wrong.err.splitlines() if line.startswith("warning:")]
    assert line.startswith("warning: mean-and-std: RGB, x = pixel / 255 does not fit")
    assert "warning:" not in quantseg(*words, tmp_path / "right.json", *RIGHT).err
    monkeypatch.setattr("quantseg.cli.early_warnings.say", lambda *_: None)
    quantseg(*words, tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "name"),
    [((), None), (("--channels", "BGR"), "channel-order"), (("--scale", "1"), "scale")],
)
def test_a_real_model(words: tuple[str, ...], name: str | None, quantseg: Command) -> None:
    told = quantseg("check", WEIGHTS / "cells_unet.onnx", "--data", "cells:6#3000000", *words)
    assert told.out.startswith("nothing wrong was seen" if name is None else f"warning {name}:")
    assert "classes          4: " in told.out


def test_every_finding_is_explained() -> None:
    sources = (ROOT / "quantseg/evaluation/checking").glob("*.py")
    named = {
        argument.value
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
        for argument in node.args[:1]
        if isinstance(argument, ast.Constant)
    }
    page = (ROOT / "docs/commands/check.md").read_text(encoding="utf-8")
    assert len(named) > 8
    assert [name for name in named if f"| `{name}` |" not in page] == []


def test_how_the_data_are_read_is_said_once(quantseg: Command, place: Path, tmp_path: Path) -> None:
    told = quantseg("calibrate", place / "model.onnx", "--data", place / "data", *RIGHT, "-o", tmp_path / "c.json")
    assert told.code == 0
    assert told.err.count("the splits train, val together") == 1
