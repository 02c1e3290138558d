"""quantseg report FLOAT INT8: the file is judged as it is, whichever tool, format or fold wrote it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

from tests.conftest import SIZE
from tests.support import models
from tests.support.command_line import Command

FAST = ("--rounds", "1", "--threads", "1", "--no-images")


class Noise(CalibrationDataReader):  # type: ignore[misc]
    """Two inputs of noise, for onnxruntime's quantizer."""

    def __init__(self, name: str) -> None:
        self._inputs: Iterator[dict[str, np.ndarray]] = (
            {name: np.random.default_rng(seed).random((1, 3, SIZE, SIZE), np.float32)} for seed in range(2)
        )

    def get_next(self) -> "dict[str, np.ndarray] | None":
        return next(self._inputs, None)


def by_onnxruntime(form: str, float_model: Path, target: Path) -> None:
    if form == "dynamic":
        quantize_dynamic(float_model, target)
        return
    name = onnx.load(float_model).graph.input[0].name
    quantize_static(float_model, target, Noise(name), quant_format=QuantFormat[form], per_channel=True)


@pytest.fixture
def place(float_model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with net.onnx, and val/ and calib/ of the same images."""
    shutil.copyfile(float_model, tmp_path / "net.onnx")
    for name in ("val", "calib"):
        shutil.copytree(images, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judged(quantseg: Command, *words: object) -> dict:
    """report.json of `quantseg report net.onnx shipped.onnx`."""
    outcome = quantseg("report", "net.onnx", "shipped.onnx", "--data", "val", *FAST, *words)
    assert outcome.code == 0, outcome.err
    return json.loads(Path("reports/shipped/report.json").read_text())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["QDQ", "QOperator", "dynamic"])
def test_another_tools_file_is_judged(quantseg: Command, place: Path, form: str) -> None:
    by_onnxruntime(form, place / "net.onnx", place / "shipped.onnx")
    before = (place / "shipped.onnx").read_bytes()
    told = judged(quantseg, "--calib", "calib")
    assert (place / "shipped.onnx").read_bytes() == before
    assert (
        quantseg("evaluate", "shipped.onnx", "--reference", "net.onnx", "--data", "val", "--json", "e.json").code == 0
    )
    assert told["summary"]["agreement"] == json.loads((place / "e.json").read_text())["agreement"]
    assert told["plan"] is None
    assert {"What stays float", "The plan"} <= told["left_out"].keys()
    assert told["provenance"]["judged on"] == "3 images, 3 of them seen in calibration"
    assert bool(told["worst_ranges"]) == (form != "dynamic")
    nodes = onnx.load(place / "shipped.onnx").graph.node
    stored = {node.input[0].split("_Quantize")[0] for node in nodes if node.op_type == "QuantizeLinear"}
    assert (stored if form != "dynamic" else set()) <= told["int8_file"]["grids"].keys()
    page = (place / "reports/shipped/report.md").read_text()
    assert all(words in page for words in ("## The int8 file", "## What is left out", "## Speed"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ("--fold-preprocess", "--fold-argmax"),
        ("--format", "qoperator"),
        ("--format", "channels-last"),
        ("--target", "openvino"),
    ],
)
def test_our_own_file_is_judged_in_every_form(quantseg: Command, place: Path, flags: tuple[str, ...]) -> None:
    made = quantseg("quantize", "net.onnx", "--calib", "calib", "--effort", "fast", "-o", "shipped.onnx", *flags)
    assert made.code == 0, made.err
    told = judged(quantseg)
    assert told["evaluation"]["images"] == 3
    assert told["summary"]["agreement"] > 0.8
    assert told["int8_file"]["maker"].startswith("quantseg ")
    assert told["provenance"]["calibrated on"] == "not known"
    assert told["left_out"]["Worst ranges"].endswith("give the images it was calibrated on, too")
    assert told["summary"]["note"] is None


@pytest.mark.slow
def test_the_report_on_a_file_agrees_with_the_report_that_made_it(quantseg: Command, place: Path) -> None:
    made = quantseg("quantize", "net.onnx", "--data", "calib", "--effort", "fast", "-o", "shipped.onnx")
    assert made.code == 0, made.err
    here = quantseg("report", "net.onnx", "--data", "val", "--calib", "calib", "--effort", "fast", *FAST)
    assert here.code == 0, here.err
    first, second = json.loads(Path("reports/net/report.json").read_text()), judged(quantseg, "--calib", "calib")
    assert first["evaluation"] == second["evaluation"]
    assert first["models"]["int8"]["sha256"] == second["models"]["int8"]["sha256"]
    ours, read = ({one["name"]: one["step"] for one in told["worst_ranges"]} for told in (first, second))
    assert read
    assert all(ours.get(name, step) == step for name, step in read.items())


@pytest.mark.slow
def test_a_file_of_another_float_model_is_told(quantseg: Command, place: Path) -> None:
    onnx.save(models.unet(base=4, depth=1, classes=3, size=SIZE), place / "other.onnx")
    made = quantseg("quantize", "other.onnx", "--data", "calib", "--effort", "fast", "-o", "shipped.onnx")
    assert made.code == 0, made.err
    assert "was made from another float model than net.onnx" in judged(quantseg)["summary"]["note"]


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (("shipped.onnx", "net.onnx"), "shipped.onnx: is quantised already; give the float model first"),
        (("net.onnx", "nowhere.onnx"), "nowhere.onnx: no such file; check the path"),
        (("net.onnx", "shipped.onnx", "--effort", "best"), "--effort says how a model is made, and this one is"),
        (("net.onnx", "shipped.onnx", "--fold-argmax"), "--fold-argmax says how a model is made, and this one is"),
        (("net.onnx", "shipped.onnx", "--per-tensor"), "--per-tensor says how a model is made, and this one is"),
        (("net.onnx", "shipped.onnx", "--peer"), "--peer belongs to a model that is made here; leave it out"),
    ],
)
def test_what_cannot_be_judged_is_one_line(
    quantseg: Command, place: Path, int8_model: Path, words: tuple[str, ...], fact: str
) -> None:
    shutil.copyfile(int8_model, place / "shipped.onnx")
    outcome = quantseg("report", *words, "--data", "val")
    assert outcome.code == 2
    (line,) = (line for line in outcome.err.splitlines() if not line.startswith("note: "))
    assert line.startswith(f"error: {fact}")
    assert not (place / "reports").exists()
