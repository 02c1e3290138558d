import json
import sys
from pathlib import Path

import onnx
import pytest

from quantseg.cli import making
from quantseg.evaluation.classical import CLASSICAL
from tests.support.command_line import Command, shell


@pytest.mark.slow
def test_a_newcomers_session(float_model: Path, images: Path, tmp_path: Path) -> None:
    """The three commands of the README, as typed."""
    (tmp_path / "model.onnx").write_bytes(float_model.read_bytes())
    for command in (
        f"calibrate model.onnx --data {images}",
        f"quantize model.onnx --data {images} --output model.int8.onnx",
        f"report model.onnx --data {images} --rounds 1",
    ):
        result = shell(*command.split(), cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert all(line.startswith("note: ") for line in result.stderr.splitlines())
    onnx.checker.check_model(tmp_path / "model.int8.onnx", full_check=True)
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert made == {
        *("model.onnx", "model.calibration.json", "model.int8.onnx"),
        *("reports/README.md", "reports/index.html", "reports/index.json"),
        *("reports/model/report.json", "reports/model/report.md", "reports/model/index.html"),
    }


@pytest.mark.slow
def test_report_from_a_calibration_file(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    assert quantseg("calibrate", float_model, "--data", images, "--output", file).code == 0
    words = ["report", float_model, "--data", images, "--calibration", file, "--output", tmp_path / "r"]
    more = ["--rounds", 1, "--name", "tiny", "--no-images", "--json", tmp_path / "all.json"]
    outcome = quantseg(*words, *more)
    assert outcome.code == 0
    assert "\n\ntiny: The int8 model is " in outcome.out
    content = json.loads((tmp_path / "r/tiny/report.json").read_text())
    assert json.loads((tmp_path / "all.json").read_text()) == [content]
    page = (tmp_path / "r/tiny/index.html").read_text()
    assert "<script src" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_another_tools_model_stands_beside_on_request(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    outcome = quantseg("report", float_model, "--data", images, "--output", tmp_path, "--rounds", 1, "--peer")
    assert outcome.code == 0
    assert "That of onnxruntime's own quantizer is " in outcome.out
    content = json.loads((tmp_path / "net/report.json").read_text())
    assert [row["name"] for row in content["latency"]] == ["float", "int8", "onnxruntime quantizer"]
    assert content["peers"][0]["evaluation"]["images"] == content["evaluation"]["images"] == 3
    assert content["summary"]["peers"][0]["agreement"] == content["peers"][0]["evaluation"]["agreement"]
    assert "| net " in (tmp_path / "README.md").read_text()


def test_another_tool_needs_images_to_calibrate_on(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    assert quantseg("calibrate", float_model, "--data", images, "--output", tmp_path / "c.json").code == 0
    words = ["report", float_model, "--data", images, "--calibration", tmp_path / "c.json", "--peer"]
    outcome = quantseg(*words, "--output", tmp_path / "r")
    assert outcome.code == 2
    assert "give --calib, not --calibration" in outcome.err


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("{0}/val", "val"),
        ("{0}/val/", "val"),
        ("--data={0}/val", "--data=val"),
        ("camvid:{0}/roads#val", "'camvid:roads#val'"),
        ("/encoder/Conv_0", "/encoder/Conv_0"),
        ("../shared/data", "../shared/data"),
        ("--no-images", "--no-images"),
    ],
)
def test_a_report_tells_the_command_without_folders_of_this_machine(
    typed: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["quantseg", "report", typed.format(tmp_path)])
    assert making.command_line() == f"quantseg report {shown}"


@pytest.mark.slow
def test_the_demo_does_the_whole_job(quantseg: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantseg.cli.demo.IMAGES", 2)
    outcome = quantseg("demo", "--output", tmp_path / "d")
    assert outcome.code == 0
    assert "agree with the float model's" in outcome.out
    onnx.checker.check_model(tmp_path / "d/cells_unet.int8.onnx", full_check=True)
    assert len(list((tmp_path / "d").glob("calib/images/*"))) == 2
    for line in outcome.out.splitlines():
        if line.startswith("wrote "):
            assert Path(line.removeprefix("wrote ")).is_file()


def test_a_neighbour_that_cannot_be_read_is_named_before_any_work(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    for name in ("other", "tiny"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text('{"summary": {"name": "old", "peer": null}}', encoding="utf-8")
    words = ("report", float_model, "--data", images, "--output", tmp_path, "--name", "tiny", "--force")
    outcome = quantseg(*words)
    assert outcome.code == 2
    assert f"{tmp_path / 'other' / 'report.json'}: not a report of quantseg" in outcome.err.replace("\n", " ")
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["report.json"]
    (tmp_path / "other" / "report.json").unlink()
    assert quantseg(*words, "--effort", "fast", "--rounds", 1).code == 0


@pytest.mark.slow
def test_classical_methods_stand_beside_on_request(
    quantseg: Command, float_model: Path, int8_model: Path, images: Path, tmp_path: Path
) -> None:
    """Beside a model that is made here and beside a file; without masks a line says why there are none."""
    pytest.importorskip("skimage", reason="scikit-image is not installed: an extra")
    words = ("--data", images, "--output", tmp_path, "--rounds", 1, "--baselines", "--no-images", "--force")
    assert quantseg("report", float_model, *words, "--effort", "fast", "--name", "made").code == 0
    assert quantseg("report", float_model, int8_model, *words, "--name", "file").code == 0
    made, file = (json.loads((tmp_path / name / "report.json").read_text())["baselines"] for name in ("made", "file"))
    for found in (made, file):
        assert [row["name"] for row in found["rows"]] == ["float", "int8", *CLASSICAL]
        assert (found["learnt_from"], found["images"], found["left_out"]) == (1, 2, "")
    assert [row["iou"] for row in made["rows"][2:]] == [row["iou"] for row in file["rows"][2:]]
    assert "Classical methods" in (tmp_path / "made/index.html").read_text()
    outcome = quantseg("report", float_model, int8_model, *words, "--no-masks", "--name", "bare")
    assert outcome.code == 0
    assert [line for line in outcome.err.splitlines() if "no classical methods" in line] == [
        "note: no classical methods: without labels nothing tells which part of an image is which class; "
        "put masks beside the images"
    ]
    assert "There are none: without labels" in (tmp_path / "bare/report.md").read_text()


def test_classical_methods_without_their_extra_are_one_line_before_any_work(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    outcome = quantseg("report", float_model, "--data", images, "--output", tmp_path / "r", "--baselines")
    assert outcome.code == 2
    assert outcome.err == 'error: scikit-image is not installed; pip install "quantseg[classical]"\n'
    assert not (tmp_path / "r").exists()
