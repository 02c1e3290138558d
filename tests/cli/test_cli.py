import json
import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest

import quantseg as package
from quantseg.calibration import file as calibrations
from quantseg.cli.commands import COMMANDS
from quantseg.data.recipe import METADATA_KEY
from quantseg.report import tables
from tests.conftest import CLASSES
from tests.support.command_line import ROOT, Command, shell

BEHIND = ["y_scaled", "y_shifted"]
"""The float nodes behind the last rounding, which give each channel of the output its own range."""


def test_help_answers_at_once() -> None:
    """Under half a second; the best of five tries, since the machine may be busy."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        result = shell("--help")
        seconds.append(time.perf_counter() - start)
        assert result.returncode == 0
        if seconds[-1] < 0.5:
            break
    assert min(seconds) < 0.5
    assert all(command.__name__ in result.stdout for command in COMMANDS)


def test_help_needs_no_heavy_package() -> None:
    program = "import sys, quantseg.cli.commands; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"numpy", "onnx", "onnx_ir", "onnxruntime", "matplotlib", "PIL", "jinja2", "scipy", "torch", "tabulate"}
    assert not heavy & set(found.stdout.split())


@pytest.mark.parametrize("command", [command.__name__ for command in COMMANDS])
def test_every_command_explains_itself(quantseg: Command, command: str) -> None:
    outcome = quantseg(command, "--help")
    assert outcome.code == 0
    assert re.search(rf"Usage: quantseg {command}", outcome.out)


def test_the_version(quantseg: Command) -> None:
    assert quantseg("--version").out == f"quantseg {package.__version__}\n"


@pytest.mark.parametrize(
    "words", [["nonsense"], ["quantize", "m.onnx", "--nonsense"], ["quantize", "m.onnx", "--limit", "0"]]
)
def test_unknown_words_are_one_line_and_code_2(quantseg: Command, words: list[str]) -> None:
    outcome = quantseg(*words)
    assert outcome.code == 2
    assert re.fullmatch(r"error: .+; see quantseg( quantize)? --help\n", outcome.err)


@pytest.mark.slow
def test_no_table_is_wider_than_a_terminal(
    quantseg: Command, float_model: Path, int8_model: Path, images: Path, tmp_path: Path
) -> None:
    for words in (
        ["calibrate", float_model, "--data", images, "--output", tmp_path / "c.json"],
        ["quantize", float_model, "--data", images, "--dry-run", "--verbose"],
        ["inspect", int8_model, "--runs", 1, "--verbose"],
        ["inspect", float_model, "--runs", 1],
        ["evaluate", int8_model, "--data", images, "--reference", float_model],
        ["compare", float_model, "--data", images, "--rounds", 1],
    ):
        outcome = quantseg(*words)
        assert outcome.code == 0, outcome.err
        rows = [line for line in outcome.out.splitlines() if "  " in line]
        assert rows
        assert max(map(len, rows)) <= tables.WIDTH


@pytest.mark.slow
def test_an_error_in_a_process_of_its_own(tmp_path: Path) -> None:
    result = shell("inspect", "m.onnx", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: m.onnx: no such file; check the path\n"
    debugged = shell("inspect", "m.onnx", "--debug", cwd=tmp_path)
    assert debugged.returncode != 0
    assert "Traceback" in debugged.stderr
    assert debugged.stderr.splitlines()[-1].endswith("m.onnx: no such file; check the path")


# What each command tells and writes.


def test_calibrate_shows_scales_and_keeps_them(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "c.json", tmp_path / "d.json"
    words = ["calibrate", float_model, "--data", images, "--calibrator", "minmax"]
    outcome = quantseg(*words, "--output", first, "--json", second)
    assert outcome.code == 0
    assert f"wrote {first}\nwrote {second}\n" in outcome.out
    assert first.read_bytes() == second.read_bytes()
    assert "3 images, minmax, uint8" in outcome.out
    tensors = json.loads(first.read_text())["tensors"]
    for name, tensor in tensors.items():
        assert re.search(rf"^{name} .* {tensor['zero_point']}$", outcome.out, re.MULTILINE)


@pytest.mark.slow
def test_calibration_of_parts_merges_to_that_of_the_whole(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    parts = []
    for number in range(3):
        folder = tmp_path / f"part{number}"
        folder.mkdir()
        (folder / f"{number}.png").write_bytes((images / f"images/{number}.png").read_bytes())
        parts.append(tmp_path / f"{number}.json")
        assert quantseg("calibrate", float_model, "--data", folder, "--output", parts[-1], "--threads", 1).code == 0
    merged, whole = tmp_path / "merged.json", tmp_path / "whole.json"
    assert quantseg("calibrate", "--merge", *reversed(parts), "--output", merged).code == 0
    words = ["--workers", 2, "--threads", 1]
    assert quantseg("calibrate", float_model, "--data", images, "--output", whole, *words).code == 0
    assert merged.read_bytes() == whole.read_bytes()


def test_an_interrupted_calibration_is_continued(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole.json", tmp_path / "broken.json"
    words = ["calibrate", float_model, "--data", images, "--output"]
    assert quantseg(*words, whole).code == 0
    monkeypatch.setattr("quantseg.calibration.calibrate.SAVE_EVERY_SECONDS", 0.0)
    write, kept = calibrations.write, []

    def killed(calibration: calibrations.Calibration, path: Path) -> None:
        write(calibration, path)
        kept.append(len(calibration.observations.images))
        if len(kept) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(calibrations, "write", killed)
        assert quantseg(*words, broken).code == 130
    assert kept == [1, 2]
    assert not broken.exists()
    outcome = quantseg(*words, broken)
    assert outcome.code == 0
    assert f"note: {broken}.partial: continuing after 2 images" in outcome.err
    assert broken.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_an_interrupted_calibration_of_something_else_is_not(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole.json", tmp_path / "broken.json"
    words = ["calibrate", float_model, "--data", images, "--output"]
    assert quantseg(*words, whole, "--scale", 0.5).code == 0
    whole.rename(tmp_path / "broken.json.partial")
    outcome = quantseg(*words, broken)
    assert outcome.code == 0
    assert "does not fit this calibration; starting from the first image" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("qformat", ["qdq", "qoperator"])
def test_quantize_writes_the_same_model_from_images_and_from_a_file(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, qformat: str
) -> None:
    a, b, c, plan = (tmp_path / name for name in ("a.onnx", "b.onnx", "c.json", "plan.json"))
    assert quantseg("calibrate", float_model, "--data", images, "--output", c).code == 0
    words = ["quantize", float_model, "--format", qformat]
    assert quantseg(*words, "--data", images, "--effort", "fast", "--output", a).code == 0
    outcome = quantseg(*words, "--calibration", c, "--output", b, "--json", plan)
    assert outcome.code == 0
    assert a.read_bytes() == b.read_bytes()
    assert "29 of 31 nodes compute in integers" in outcome.out
    assert outcome.out.endswith(f"wrote {b}\nwrote {plan}\n")
    nodes = json.loads(plan.read_text())["nodes"]
    assert [node["name"] for node in nodes if node["precision"] != "integer"] == BEHIND
    metadata = {entry.key: entry.value for entry in onnx.load(a).metadata_props}
    assert "[input]" in metadata[METADATA_KEY]


def test_quantize_says_what_stays_float_and_why(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    words = ["quantize", float_model, "--data", images, "--effort", "fast", "--exclude", "MaxPool", "--dry-run"]
    outcome = quantseg(*words, "--json", tmp_path / "plan.json")
    assert "27 of 31 nodes compute in integers" in outcome.out
    assert re.search(r"^ +2 +excluded by --exclude$", outcome.out, re.MULTILINE)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    table = quantseg(*words, "--verbose").out
    assert re.search(r"^maxpool5 +MaxPool +float +excluded by --exclude$", table, re.MULTILINE)
    assert re.search(r"^conv1 +Conv +int8", table, re.MULTILINE)


def test_another_calibrator_chooses_anew_from_the_same_file(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    assert quantseg("calibrate", float_model, "--data", images, "--output", tmp_path / "c.json").code == 0
    plans = {}
    for name in ("minmax", "entropy"):
        plan = tmp_path / f"{name}.json"
        words = ["--calibration", tmp_path / "c.json", "--calibrator", name, "--dry-run", "--json", plan]
        assert quantseg("quantize", float_model, *words).code == 0
        plans[name] = json.loads(plan.read_text())["tensors"]["relu2"]["scale"]
    assert plans["entropy"] <= plans["minmax"]


@pytest.mark.slow
def test_later_commands_need_no_flags(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    """The written model carries its preprocessing: the same scores with no flag as with all of them."""
    flags = ["--mean", "0.4,0.5,0.6", "--std", "0.25", "--channels", "BGR", "--classes", "sky, road, car"]
    model, plain, flagged = tmp_path / "m.onnx", tmp_path / "plain.json", tmp_path / "flagged.json"
    assert quantseg("quantize", float_model, "--data", images, "--output", model, *flags).code == 0
    outcome = quantseg("evaluate", model, "--data", images, "--json", plain)
    assert (outcome.code, outcome.err) == (0, "")
    assert re.search(r"^road ", outcome.out, re.MULTILINE)
    assert quantseg("evaluate", model, "--data", images, "--json", flagged, *flags).code == 0
    assert plain.read_bytes() == flagged.read_bytes()


@pytest.mark.slow
def test_a_recipe_file_says_the_same_as_flags(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('[input]\nmean = [0.4, 0.5, 0.6]\nchannels = "BGR"\n')
    a, b = tmp_path / "a.onnx", tmp_path / "b.onnx"
    words = ["quantize", float_model, "--data", images, "--output"]
    assert quantseg(*words, a, "--recipe", recipe).code == 0
    assert quantseg(*words, b, "--mean", "0.4,0.5,0.6", "--channels", "BGR").code == 0
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.slow
def test_settings_reach_the_model(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    flags = ["--activation-type", "int8", "--per-tensor", "--symmetric", "--reduce-range", "--include", "Conv"]
    assert quantseg("quantize", float_model, "--data", images, "--dry-run", "--json", plan, *flags).code == 0
    content = json.loads(plan.read_text())
    assert content["settings"] == {
        "activation": "int8", "weight": "int8", "per_channel": False, "symmetric": True, "full_range_weights": False,
        "reduce_range": True,
        "reduced_channels": {},
        "include": ["Conv"], "exclude": [],
    }  # fmt: skip
    assert {tensor["zero_point"] for tensor in content["tensors"].values()} == {0}


@pytest.mark.slow
def test_inspect_lists_what_the_runtime_runs(
    quantseg: Command, float_model: Path, int8_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "i.json"
    outcome = quantseg("inspect", int8_model, "--runs", 1, "--json", file)
    assert outcome.code == 0
    assert "1 QuantizeLinear, 1 DequantizeLinear" in outcome.out
    assert "0 float ConvTranspose" in outcome.out
    content = json.loads(file.read_text())
    assert [node["name"] for node in content["nodes"] if node["kind"] == "float"] == BEHIND
    assert "QLinearConv" in {node["op_type"] for node in content["nodes"]}
    in_float = quantseg("inspect", float_model, "--runs", 1).out
    assert re.search(r"^ConvTranspose +2 +\d", in_float, re.MULTILINE)


@pytest.mark.slow
def test_inspect_holds_convolutions_against_the_best_matrix_product(
    quantseg: Command, float_model: Path, int8_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "i.json"
    outcome = quantseg("inspect", int8_model, "--runs", 1, "--convolutions", "--json", file)
    assert re.search(r"^convolutions take .* % of this machine's best int8 matrix product, ", outcome.out, re.MULTILINE)
    assert re.search(r"^\S+ +1x1, \d+→\d+, \d+x\d+ +\d", outcome.out, re.MULTILINE)
    tables = [line for line in outcome.out.split("\n") if not line.startswith(("convolutions take", "wrote"))]
    assert max(map(len, tables)) <= 100
    content = json.loads(file.read_text())
    assert content["roofs"]["int8"]["macs_per_second"] > 0
    counted = [node["product"]["macs"] for node in content["nodes"] if node["op_type"] == "QLinearConv"]
    assert sum(counted) == content["summary"]["convolution_macs"] > 0
    assert "best float matrix product" in quantseg("inspect", float_model, "--runs", 1).out


def test_evaluate_compares_with_labels_and_with_the_float_model(
    quantseg: Command, float_model: Path, int8_model: Path, images: Path, tmp_path: Path
) -> None:
    file = tmp_path / "e.json"
    outcome = quantseg("evaluate", int8_model, "--data", images, "--reference", float_model, "--json", file)
    assert outcome.code == 0
    for words in ("mean IoU", "boundary IoU", "pixel accuracy", "agreement with the float masks", "output SQNR"):
        assert words in outcome.out
    content = json.loads(file.read_text())
    assert content["images"] == 3
    assert 0.8 < content["agreement"] <= 1
    assert len(content["classes"]) == CLASSES


def test_evaluate_without_labels_tells_the_agreement_alone(
    quantseg: Command, float_model: Path, int8_model: Path, images: Path
) -> None:
    words = ["evaluate", int8_model, "--data", images, "--reference", float_model, "--limit", 2, "--no-masks"]
    outcome = quantseg(*words)
    assert outcome.code == 0
    assert "agreement with the float masks" in outcome.out
    assert "Dice" not in outcome.out


@pytest.mark.parametrize(("least", "code"), [(0, 0), (100, 3)])
def test_evaluate_says_by_its_exit_code_whether_the_masks_agree_well_enough(
    quantseg: Command, float_model: Path, int8_model: Path, images: Path, least: float, code: int
) -> None:
    words = ["evaluate", int8_model, "--data", images, "--reference", float_model, "--at-least", least, "--no-masks"]
    outcome = quantseg(*words)
    assert outcome.code == code
    assert "agreement with the float masks" in outcome.out  # the tables are shown in both cases
    assert (f"less than --at-least {least}; quantise" in outcome.err) == (code == 3)


def test_evaluate_agrees_at_least_with_a_float_model_alone(quantseg: Command, int8_model: Path, images: Path) -> None:
    outcome = quantseg("evaluate", int8_model, "--data", images, "--at-least", 90)
    assert outcome.code == 2
    assert "--reference" in outcome.err


def test_benchmark_times_models_beside_each_other(
    quantseg: Command, float_model: Path, int8_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.json"
    words = ["--rounds", 1, "--runs", 1, "--threads", 1, "--json", file]
    outcome = quantseg("benchmark", float_model, int8_model, *words)
    assert outcome.code == 0
    content = json.loads(file.read_text())
    assert [timing["name"] for timing in content["timings"]] == [str(float_model), str(int8_model)]
    assert content["timings"][0]["ratio"] == 1
    assert content["timings"][0]["file_bytes"] == float_model.stat().st_size
    assert "rounds: 1, runs in each: 1, threads: 1" in outcome.out


@pytest.mark.slow
def test_compare_shows_three_models(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    outcome = quantseg("compare", float_model, "--data", images, "--rounds", 1, "--json", file)
    assert outcome.code == 0
    names = [entry["name"] for entry in json.loads(file.read_text())["compared"]]
    assert names == ["float", "onnxruntime quantizer", "quantseg"]
    assert re.search(r"^float +onnxruntime +100.0 % +∞", outcome.out, re.MULTILINE)


def test_compare_without_the_extra_is_one_line(
    quantseg: Command, float_model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    for words in (
        ("compare", float_model, "--data", images, "--openvino"),
        ("benchmark", float_model, "--runtime", "openvino"),
    ):
        outcome = quantseg(*words)
        assert outcome.code == 2
        assert outcome.err.splitlines()[-1] == 'error: OpenVINO is not installed; pip install "quantseg[openvino]"'


@pytest.mark.skipif(find_spec("nncf") is None or find_spec("openvino") is None, reason="nncf or openvino is an extra")
def test_compare_and_benchmark_with_openvino(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    file = tmp_path / "c.json"
    outcome = quantseg("compare", float_model, "--data", images, "--rounds", 1, "--openvino", "--json", file)
    assert outcome.code == 0
    assert [line[:5] for line in outcome.err.splitlines()] == ["note:"]
    content = json.loads(file.read_text())
    assert [entry["runtime"] for entry in content["compared"]] == 3 * ["onnxruntime"] + 3 * ["openvino"]
    assert set(content["machine"]["packages"]) > {"onnxruntime", "openvino", "nncf"}
    assert max(map(len, outcome.out.splitlines()[:-1])) <= 100  # the last tells the file
    for words in (r"^NNCF +openvino +\d", r" threads$", r"^onnxruntime \S+, openvino \S+, nncf \S+$"):
        assert re.search(words, outcome.out, re.MULTILINE)
    timed = quantseg("benchmark", float_model, "--rounds", 1, "--runs", 1, "--runtime", "openvino")
    assert timed.code == 0
    assert re.search(r"; openvino \d+\.\d+\.\d+$", timed.out, re.MULTILINE)


@pytest.mark.slow
def test_a_reader_that_goes_away_does_not_stop_the_work(tmp_path: Path, float_model: Path, images: Path) -> None:
    """As in `quantseg quantize … | head -1`: the plan is printed before the files are written."""
    reading, writing = os.pipe()
    os.close(reading)
    words = ["quantize", str(float_model), "--data", str(images), "-o", str(tmp_path / "a.onnx")]
    words += ["--json", str(tmp_path / "p.json")]
    command = [sys.executable, "-m", "quantseg", *words]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx", "p.json"}
