"""Layouts and splits on the command line: every flag that takes data takes them, each its own."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import Command
from tests.support.data_trees import coco_tree, encoded, pixels, voc_tree


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    """The tree of SegNet's authors, of three classes, so that the small model of the tests takes it."""
    for split in ("train", "val"):
        for name in ("0", "1"):
            for folder, file in ((split, encoded(pixels(int(name)))), (f"{split}annot", _mask(int(name)))):
                (tmp_path / folder).mkdir(exist_ok=True)
                (tmp_path / folder / f"{name}.png").write_bytes(file)
    return tmp_path


def _mask(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    return encoded(rng.choice(np.array([0, 1, 2, 11], np.uint8), (6, 8)))


@pytest.mark.slow
def test_quantize_and_evaluate_take_layout_and_split(quantseg: Command, float_model: Path, roads: Path) -> None:
    target = roads / "net.int8.onnx"
    outcome = quantseg("quantize", float_model, "--data", f"{roads}#train", "-o", target, "--threads", "1")
    assert outcome.code == 0, outcome.err
    assert f"note: {roads}: read as camvid, split train" in outcome.err
    outcome = quantseg("evaluate", target, "--data", f"camvid:{roads}#val", "--ignore-index", 11, "--threads", "1")
    assert outcome.code == 0, outcome.err
    assert "mean IoU" in outcome.out


def test_calibration_keeps_the_images_of_the_split(quantseg: Command, float_model: Path, tmp_path: Path) -> None:
    voc_tree().write(tmp_path)
    target = tmp_path / "net.calibration.json"
    outcome = quantseg("calibrate", float_model, "--data", f"voc:{tmp_path}#val", "-o", target, "--threads", "1")
    assert outcome.code == 0, outcome.err
    assert "over 2 images" in outcome.out
    assert all(name in target.read_text() for name in ("2007_000001.png", "2007_000002.png"))


@pytest.mark.slow
def test_compare_judges_on_another_split(quantseg: Command, float_model: Path, roads: Path) -> None:
    kept = roads / "compare.json"
    outcome = quantseg(
        "compare", float_model, "--data", "cells:3@32x32", "--calib", f"{roads}#train", "--no-masks",
        "--threads", "1", "--rounds", "1", "--json", kept,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "2 images to calibrate, 3 to compare" in outcome.out
    assert json.loads(kept.read_text())["compared"]


@pytest.mark.parametrize("command", ["calibrate", "quantize", "evaluate", "compare"])
def test_a_split_that_was_not_chosen_is_one_line(
    quantseg: Command, float_model: Path, roads: Path, command: str
) -> None:
    outcome = quantseg(command, float_model, "--data", roads)
    assert outcome.code == 2
    assert f"{roads}: holds the splits train, val; choose one, camvid:{roads}#train" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("word", "fact"),
    [
        ("camvd:roads", "no layout 'camvd'"),
        ("camvid:{0}#test", "has no split 'test'; it holds train, val"),
        ("camvid:{0}#val", "ignore pixels of id 11, the recipe none; give --ignore-index 11"),
        ("cells:0", "out of bounds"),
        ("voc:{0}", "is no voc folder"),
    ],
)
def test_data_that_is_not_there_is_one_line(
    quantseg: Command, float_model: Path, roads: Path, word: str, fact: str
) -> None:
    outcome = quantseg("evaluate", float_model, "--data", word.format(roads))
    assert outcome.code == 2
    (line,) = (line for line in outcome.err.splitlines() if not line.startswith("note: "))
    assert fact in line


def test_a_list_that_leads_out_of_the_folder_ends_with_code_2(
    quantseg: Command, float_model: Path, tmp_path: Path
) -> None:
    coco_tree().write(tmp_path)
    index = tmp_path / "annotations" / "instances_val2017.json"
    index.write_text(index.read_text().replace('"a.png"', '"../../etc/passwd"'))
    outcome = quantseg("quantize", float_model, "--data", f"coco:{tmp_path}")
    assert outcome.code == 2
    assert "may lie outside the folder" in outcome.err
    assert not list(tmp_path.glob("*.onnx"))


def test_a_model_is_evaluated_on_drawn_images(quantseg: Command, float_model: Path) -> None:
    outcome = quantseg("evaluate", float_model, "--data", "cells:2@8x8#100", "--threads", "1")
    assert outcome.code == 0, outcome.err
    assert "mean IoU" in outcome.out
    outcome = quantseg("evaluate", float_model, "--data", "cells:40@64x64", "--threads", "1")
    assert outcome.code == 2
    assert "class id 3 is not in 0…2" in outcome.err
