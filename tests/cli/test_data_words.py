"""--data is what is judged and --calib what is calibrated on; old words work with a warning."""

import json
import shutil
from pathlib import Path

import pytest

from quantseg.cli import data_words
from quantseg.errors import DataError
from tests.support.command_line import Command


@pytest.fixture
def parts(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """val/ with three images, calib/ with two of them."""
    shutil.copytree(images, tmp_path / "val")
    shutil.copytree(images, tmp_path / "calib")
    for part in ("images", "masks"):
        (tmp_path / f"calib/{part}/2.png").unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_that_calibrate_take_either_word(quantseg: Command, float_model: Path, parts: Path) -> None:
    for word, target in (("--data", "a"), ("--calib", "b")):
        assert quantseg("calibrate", float_model, word, "calib", "-o", f"{target}.json", "--threads", 1).code == 0
        made = quantseg("quantize", float_model, word, "calib", "--effort", "fast", "-o", f"{target}.onnx")
        assert made.code == 0, made.err
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
    assert Path("a.onnx").read_bytes() == Path("b.onnx").read_bytes()


@pytest.mark.parametrize("command", ["calibrate", "quantize"])
def test_both_words_at_once_are_one_line(quantseg: Command, float_model: Path, parts: Path, command: str) -> None:
    outcome = quantseg(command, float_model, "--data", "val", "--calib", "calib", "-o", "out")
    fact = "--data and --calib mean the same here, the images to calibrate on; give one of them"
    assert (outcome.code, outcome.err) == (2, f"error: {fact}\n")
    assert not Path("out").exists()


@pytest.mark.slow
def test_compare_judges_data_and_the_old_words_mean_what_they_meant(
    quantseg: Command, float_model: Path, parts: Path
) -> None:
    words = ("compare", float_model, "--rounds", 1, "--threads", 1, "--effort", "fast", "--json")
    new = quantseg(*words, "new.json", "--data", "val", "--calib", "calib")
    old = quantseg(*words, "old.json", "--data", "calib", "--val", "val")
    same = quantseg(*words, "same.json", "--data", "val")
    assert "2 images to calibrate, 3 to compare" in new.out
    assert "2 images to calibrate, 3 to compare" in old.out
    assert "3 images to calibrate, 3 to compare" in same.out
    said = "warning: --val is old: what is judged is now --data val, what is calibrated on --calib calib"
    assert said in old.err.splitlines()
    assert "warning: " not in new.err + same.err
    first, second = (json.loads(Path(f"{name}.json").read_text())["compared"] for name in ("new", "old"))
    assert [one["evaluation"] for one in first] == [one["evaluation"] for one in second]


def test_old_words_beside_new_ones_are_refused() -> None:
    with pytest.raises(DataError, match="--val is the old word"):
        data_words.judging(Path("a"), Path("b"), Path("c"))
    with pytest.raises(DataError, match="--images is the old word"):
        data_words.limits(None, 2, 3, most=16)


def test_without_a_limit_sensitivity_measures_on_so_many_and_calibrates_on_all() -> None:
    assert data_words.limits(None, None, None, most=16) == (16, None)
    assert data_words.limits(50, None, None, most=16) == (50, 50)
