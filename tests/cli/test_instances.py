"""Commands on a model of instances: what check, quantize, evaluate, compare and report say of it."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantseg.report import tables
from quantseg.runtimes import npm
from tests.support import apps, yolo_like
from tests.support.command_line import Command

HEADERS = ["instances", "float", "int8", "kept", "kept at 0.9", "lost", "gained", "mean IoU"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("yolo")
    yolo_like.write(folder)
    return folder


@pytest.fixture
def int8(quantseg: Command, place: Path) -> Path:
    path = place / "y8.onnx"
    if not path.exists():
        words = ["--data", place / "objects", "--effort", "fast", "--output", path]
        assert quantseg("quantize", place / "yolo.onnx", *words).code == 0
    return path


def cells(line: str) -> list[str]:
    return [cell for cell in line.replace("   ", "  ").split("  ") if cell.strip()]


def test_check_finds_nothing_wrong(quantseg: Command, place: Path, tmp_path: Path) -> None:
    outcome = quantseg("check", place / "yolo.onnx", "--data", place / "objects", "--json", tmp_path / "c.json")
    assert outcome.code == 0
    said = json.loads((tmp_path / "c.json").read_text())
    assert said["fine"], said["findings"]
    assert said["recipe"]["output"]["head"] == "yolo-seg"
    assert "3 masks with class ids 0…2" in outcome.out
    assert "None" not in outcome.out


@pytest.mark.parametrize(("brightness", "facts"), [(30, ["nothing in all 3 images that were looked at"]), (230, [])])
def test_check_says_where_nothing_is_found(
    quantseg: Command, place: Path, tmp_path: Path, brightness: int, facts: list[str]
) -> None:
    (tmp_path / "images").mkdir()
    for k in range(3):
        pixels = np.full((yolo_like.SIZE, yolo_like.SIZE, 3), 30, np.uint8)
        pixels[18:30, 18:30] = brightness
        Image.fromarray(pixels).save(tmp_path / "images" / f"{k}.png")
    outcome = quantseg("check", place / "yolo.onnx", "--data", tmp_path / "images", "--json", tmp_path / "c.json")
    assert outcome.code == 0
    findings = json.loads((tmp_path / "c.json").read_text())["findings"]
    assert [one["fact"] for one in findings if one["name"] == "one-class"] == facts


def test_quantize_says_whether_instances_are_kept(quantseg: Command, place: Path, tmp_path: Path) -> None:
    words = ["--output", tmp_path / "y8.onnx", "--effort", "fast", "--json", tmp_path / "q.json"]
    outcome = quantseg("quantize", place / "yolo.onnx", "--data", place / "objects", *words)
    assert outcome.code == 0
    first, second, *_ = (line for line in outcome.out.splitlines() if not line.startswith("note: "))
    assert "the instances" in first
    assert "of the float model's 10 instances (mask IoU 0.5 or more, 2 images)" in second
    said = json.loads((tmp_path / "q.json").read_text())["verdict"]
    assert said["instances"]["reference"] == 10
    assert {*said["levels"]} == {"kept", "closely", "gained", "worst_class"}  # it looks at no labels


def test_evaluate_shows_instances_and_ap(quantseg: Command, place: Path, int8: Path, tmp_path: Path) -> None:
    words = ["--reference", place / "yolo.onnx", "--data", place / "objects", "--json", tmp_path / "e.json"]
    outcome = quantseg("evaluate", int8, *words)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= tables.WIDTH
    table = lines[next(k for k, line in enumerate(lines) if line.startswith("instances")) :]
    assert [word.strip() for word in cells(table[0])] == HEADERS
    said = json.loads((tmp_path / "e.json").read_text())
    told = said["instances"]
    assert [cell.strip() for cell in cells(table[2])[:3]] == ["all", str(told["float"]), str(told["int8"])]
    assert told["float"] == 15
    ap = next(line for line in lines if line.startswith("AP "))
    figures = (said[key]["summary"]["ap"] for key in ("float_scores", "int8_scores", "between"))
    assert ap.split(None, 1)[1].split("  ")[0] == tables.percent(said["float_scores"]["summary"]["ap"])
    assert [word.strip() for word in cells(ap)[1:]] == [tables.percent(value) for value in figures]
    assert said["float_scores"]["summary"]["ap50"] == 1


def test_a_model_alone_is_scored_against_the_labels(
    quantseg: Command, place: Path, int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = quantseg("evaluate", int8, "--data", place / "objects", "--json", tmp_path / "e.json")
    assert outcome.code == 0
    said = json.loads((tmp_path / "e.json").read_text())
    assert said["summary"]["ap50"] == 1
    assert said["per_class"]["ap"] == pytest.approx([said["summary"]["ap"]] * 2, abs=0.3)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    without = quantseg("evaluate", int8, "--data", place / "objects")
    assert without.code == 2
    assert without.err.splitlines()[-1].endswith(
        'AP of instances needs faster-coco-eval; pip install "quantseg[instances]"'
    )


def test_without_labels_and_without_the_extra_instances_are_matched(
    quantseg: Command, place: Path, int8: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    outcome = quantseg("evaluate", int8, "--reference", place / "yolo.onnx", "--data", place / "objects/images")
    assert outcome.code == 0
    assert "kept at 0.9" in outcome.out
    assert "AP50" not in outcome.out
    assert outcome.out.count('pip install "quantseg[instances]"') == 1


@pytest.mark.slow
def test_compare_shows_the_instances_of_every_tool(quantseg: Command, place: Path, tmp_path: Path) -> None:
    words = ["--data", place / "objects", "--effort", "fast", "--rounds", 1, "--json", tmp_path / "c.json"]
    outcome = quantseg("compare", place / "yolo.onnx", *words)
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= tables.WIDTH
    found = json.loads((tmp_path / "c.json").read_text())["compared"]
    assert [one["evaluation"]["instances"]["float"] for one in found] == [15, 15, 15]
    rows = [line for line in outcome.out.splitlines() if line.startswith(("float", "onnxruntime q", "quantseg  "))]
    pairs = zip(found, rows[3:6], strict=True)  # after speed and masks
    assert all(f" {one['evaluation']['instances']['int8']} " in row for one, row in pairs)


@pytest.mark.slow
def test_reports_of_files_and_of_made_models(quantseg: Command, place: Path, int8: Path, tmp_path: Path) -> None:
    given = ["--data", place / "objects", "--rounds", 1, "--output", tmp_path]
    of_file = quantseg("report", place / "yolo.onnx", int8, *given, "--name", "file")
    made = quantseg("report", place / "yolo.onnx", *given, "--effort", "fast", "--peer", "--name", "made")
    for name, outcome in (("file", of_file), ("made", made)):
        assert outcome.code == 0, outcome.err
        page = (tmp_path / name / "index.html").read_text()
        assert "Instances of each class" in page
        assert page.count("instances, lost in red of ") == 3
        said = json.loads((tmp_path / name / "report.json").read_text())
        assert said["summary"]["kept"] == said["evaluation"]["instances"]["kept"]["0.5"]
        assert said["summary"]["float_ap"] == said["evaluation"]["float_scores"]["summary"]["ap"]
    assert "Beside other quantizers" in (tmp_path / "made/index.html").read_text()
    assert said["summary"]["peers"][0]["kept"] is not None


@pytest.mark.parametrize(
    "words", [("quantize", "--fold-argmax", "--output"), ("ship", "--to")], ids=["quantize", "ship"]
)
def test_a_head_of_instances_is_not_folded_which_is_said_before_any_work(
    quantseg: Command, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv(npm.NODE_MODULES_VARIABLE, str(apps.stand_in(tmp_path / "node_modules")))
    command, *flags = words
    done = quantseg(command, place / "yolo.onnx", "--data", place / "objects", *flags, tmp_path / "out")
    assert done.code == 2
    reason = "head yolo-seg finds any number of instances, not one class a pixel; leave it out"
    assert done.err.splitlines()[-1] == f"error: --fold-argmax: {reason}"
    assert "calibrate" not in done.err
    assert not (tmp_path / "out").exists()
