"""quantseg report without a model, over small reference models that are made here."""

import json
import re
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from quantseg.data.recipe import METADATA_KEY
from quantseg.evaluation import peer_models
from quantseg.evaluation.peers import PeerError
from quantseg.evaluation.reference_models import DATA_KEY
from tests.support import models
from tests.support.command_line import Command

SIZE = 32
RECIPE = '[output]\nhead = "argmax"\nclasses = ["background", "cytoplasm", "nucleus", "other"]\n'
QUICK = ("--effort", "fast", "--rounds", 1)
MODELS = {"a_road": "camvid", "b_white": "wbc", "c_cells": "cells", "d_stray": None, "e_other": "kitti"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of reference models, each with the name of its data."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, (name, data) in enumerate(MODELS.items()):
        model = models.unet(base=4, depth=1, classes=4, size=SIZE, seed=seed)
        onnx.helper.set_model_props(model, {METADATA_KEY: RECIPE, **({} if data is None else {DATA_KEY: data})})
        onnx.save(model, folder / f"{name}.onnx")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The white blood cells alone: 11 images of noise, of which the 5th and the 10th are held out."""
    folder = tmp_path_factory.mktemp("root")
    for part, shape in (("images", (SIZE, SIZE, 3)), ("masks", (SIZE, SIZE))):
        (folder / "wbc" / part).mkdir(parents=True)
        for number in range(11):
            pixels = np.random.default_rng(number).integers(0, 255 if part == "images" else 4, shape, np.uint8)
            Image.fromarray(pixels).save(folder / f"wbc/{part}/{number:02}.png")
    return folder


@pytest.fixture
def zoo(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Puts some of these models in place of the real ones, in a folder without data and with no wish for others."""

    def choose(*names: str) -> None:
        package = tmp_path / "reference_models"
        (package / "weights").mkdir(parents=True)
        for name in names:
            (package / f"weights/{name}.onnx").symlink_to(weights / f"{name}.onnx")
        spec = ModuleSpec("reference_models", None, is_package=True)
        spec.submodule_search_locations = [str(package)]
        monkeypatch.setattr("quantseg.evaluation.reference_models.find_spec", lambda name: spec)

    monkeypatch.delenv("QUANTSEG_DATA", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return choose


def summaries(folder: Path) -> dict[str, dict[str, object]]:
    values: dict[str, dict[str, object]] = json.loads((folder / "index.json").read_text())
    return values


@pytest.mark.slow
def test_every_reference_model_is_reported_beside_the_other_tool(
    quantseg: Command, zoo: Callable[..., None], root: Path, tmp_path: Path
) -> None:
    zoo(*MODELS)
    words = ["--data", root, "--output", tmp_path / "r", *QUICK, "--limit", 2, "--json", tmp_path / "all.json"]
    outcome = quantseg("report", *words)
    assert outcome.code == 0, outcome.err
    assert max(len(line) for line in outcome.out.splitlines() if line.startswith(tuple(MODELS)) and "  " in line) <= 100
    rows = summaries(tmp_path / "r")
    assert list(rows) == list(MODELS)
    for row in rows.values():
        (peer,) = row["peers"]
        assert min(peer[key] for key in ("bytes", "ms", "agreement")) > 0
    assert [report["name"] for report in json.loads((tmp_path / "all.json").read_text())] == list(MODELS)

    assert (rows["b_white"]["data"], rows["c_cells"]["data"]) == ("wbc", "cells")
    for name in ("b_white", "c_cells"):
        assert rows[name]["float_iou"] is not None
        assert rows[name]["note"] is None
    judged = json.loads((tmp_path / "r/b_white/report.json").read_text())
    assert [image["name"] for image in judged["evaluation"]["per_image"]] == ["04.png", "09.png"]
    assert judged["provenance"]["judged on"] == "2 images, none of them seen in calibration"

    remedies = {"a_road": "give --data with camvid/ in it", "d_stray": "nothing tells", "e_other": "nothing tells"}
    index = (tmp_path / "r/index.html").read_text()
    for name, remedy in remedies.items():
        assert (rows[name]["data"], rows[name]["float_iou"]) == (None, None)
        assert "not its own images" in str(rows[name]["note"])
        assert remedy in str(rows[name]["note"])
        own = [(tmp_path / "r" / name / file).read_text() for file in ("report.md", "index.html")]
        for form in (re.sub(r"\s+", " ", outcome.out), index, *own):
            assert str(rows[name]["note"]) in form

    shown = {name: "data:image" in (tmp_path / "r" / name / "index.html").read_text() for name in MODELS}
    assert shown == {name: name == "c_cells" for name in MODELS}
    for path in (tmp_path / "r").rglob("*.*"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")
        assert str(root) not in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_failure_of_the_other_tool_is_a_row_with_its_reason(
    quantseg: Command, zoo: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo("c_cells")

    def fails(model: Path, *arguments: object, **settings: object) -> None:
        raise PeerError(f"{model}: onnxruntime's quantizer failed (no <Conv> in {model.parent}/x.onnx)")

    monkeypatch.setattr(peer_models, "quantize_with_onnxruntime", fails)
    outcome = quantseg("report", "--output", tmp_path / "r", *QUICK, "--limit", 1)
    assert outcome.code == 0
    reason = "onnxruntime's quantizer failed (no <Conv> in x.onnx)"
    assert {row["peers"][0]["failed"] for row in summaries(tmp_path / "r").values()} == {reason}  # type: ignore[index]
    assert f"c_cells: ORT: {reason}" in " ".join(outcome.out.split())
    assert f"c_cells: ORT: {reason}".replace("<", r"\<") in (tmp_path / "r/README.md").read_text()
    assert "(no &lt;Conv&gt; in x.onnx)" in (tmp_path / "r/index.html").read_text()
    assert "Of onnxruntime's own quantizer there is no model" in (tmp_path / "r/c_cells/report.md").read_text()


@pytest.mark.slow
def test_data_are_found_by_variable_and_by_name(
    quantseg: Command, zoo: Callable[..., None], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo("b_white")
    words = ["report", *QUICK, "--limit", 1, "--no-peer", "--output", tmp_path / "r"]
    monkeypatch.setenv("QUANTSEG_DATA", str(root))
    assert quantseg(*words).code == 0
    by_variable = summaries(tmp_path / "r")
    assert by_variable["b_white"]["data"] == "wbc"
    assert {len(row["peers"]) for row in by_variable.values()} == {0}
    monkeypatch.setenv("QUANTSEG_DATA", "")
    Path("data").symlink_to(root)
    assert quantseg(*words).code == 0
    assert summaries(tmp_path / "r")["b_white"]["data"] == "wbc"


@pytest.mark.slow
def test_labels_that_are_not_read_are_not_passed_over_in_silence(
    quantseg: Command, zoo: Callable[..., None], root: Path, tmp_path: Path
) -> None:
    zoo("b_white")
    words = [*QUICK, "--limit", 1, "--no-peer", "--no-masks", "--output", tmp_path]
    assert quantseg("report", "--data", root, *words).code == 0
    row = summaries(tmp_path)["b_white"]
    assert (row["data"], row["float_iou"]) == ("wbc", None)
    assert "without its masks" in str(row["note"])


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["--data", "nowhere"], "nowhere: no such folder; give one with camvid or wbc as a subfolder"),
        (["--data", "."], ".: holds none of the reference models' data sets; give one with camvid or wbc"),
        (["--calib", "."], "--calib belongs to one model, and none was given"),
        (["--calibration", "c.json"], "--calibration belongs to one model"),
        (["--name", "x"], "--name belongs to one model"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    quantseg: Command, zoo: Callable[..., None], words: list[str], fact: str
) -> None:
    zoo("b_white")
    outcome = quantseg("report", *words)
    assert outcome.code == 2
    assert fact in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(Path().iterdir())


def test_too_few_images_to_hold_one_out_are_an_error(
    quantseg: Command, zoo: Callable[..., None], tmp_path: Path
) -> None:
    zoo("b_white")
    (tmp_path / "few/wbc/images").mkdir(parents=True)
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "few/wbc/images/1.png")
    outcome = quantseg("report", "--data", tmp_path / "few", "--limit", 1, "--no-peer", *QUICK)
    assert outcome.code == 2
    assert "wbc: 1 images, none of them held out" in outcome.err


def test_the_package_of_missing_reference_models_is_named(quantseg: Command, zoo: Callable[..., None]) -> None:
    zoo()
    outcome = quantseg("report")
    assert outcome.code == 2
    assert outcome.err == "error: the reference models: not installed; pip install quantseg-zoo, or name a model\n"
    assert list(Path.cwd().iterdir()) == []
