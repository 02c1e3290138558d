"""--target ort-web and --runtime onnxruntime-web: with node, without it, and where nothing is faster than float."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantseg import api, graph
from quantseg.errors import PlanError
from quantseg.files import caches
from quantseg.mixed_precision import fitting, targets
from quantseg.mixed_precision import latency_model as costs
from quantseg.mixed_precision.latency_model import Bench, Fitted, NothingFasterError
from quantseg.mixed_precision.target_facts import ORT_WEB
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.quantization.plan import Fit
from quantseg.quantization.writing import written
from quantseg.refinement.options import Options
from quantseg.runtimes import RUNTIMES, npm
from tests.support import graphs, models, quantised
from tests.support.candidates import of_file
from tests.support.command_line import Command
from tests.support.quantised import kernel, noise
from tests.support.web import needs_web

WEB = RUNTIMES["onnxruntime-web"]
BENCH = Bench(WEB, 1, None, never_slower=True, qformats=("web",))
OPTIONS = Options(limit=2, threads=1, target=TargetOptions(ORT_WEB))


@pytest.fixture
def no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(caches.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(npm.NODE_MODULES_VARIABLE, raising=False)


@pytest.mark.slow
@pytest.mark.usefixtures("no_node")
def test_without_node_a_table_of_kernels_places_the_nodes(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    words = ["quantize", float_model, "--data", images, "--effort", "fast", "-o", tmp_path / "m.onnx"]
    outcome = quantseg(*words, "--target", "ort-web", "--json", tmp_path / "m.json")
    assert outcome.code == 0, outcome.err
    assert "note: onnxruntime-web is not installed; run: quantseg web setup; until then" in outcome.err
    assert "x (1 thread" not in outcome.out  # nothing is timed
    made = json.loads((tmp_path / "m.json").read_text())
    assert {node["precision"] for node in made["nodes"]} & {"integer", "float"}
    assert graph.load(tmp_path / "m.onnx").graph


@pytest.mark.usefixtures("no_node")
@pytest.mark.parametrize("command", ["benchmark", "benchmark --threads 2"])
def test_a_benchmark_without_node_is_one_line(quantseg: Command, float_model: Path, command: str) -> None:
    outcome = quantseg(*command.split(), float_model, "--runtime", "onnxruntime-web")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "error: onnxruntime-web is not installed; run: quantseg web setup\n"


@pytest.mark.usefixtures("no_node")
def test_the_table_knows_every_kind_of_kernel_that_matters() -> None:
    rows = costs.read_table().rows
    for kind in ("Conv", "Conv 1x1", "Conv depthwise", "Add", "Concat", "MaxPool", "Resize"):
        assert rows[f"{kind} float"], kind
    for kind in (
        "Conv web",
        "Conv 1x1 web apart",
        "Conv 1x1 web fused",
        "Conv depthwise web",
        "quantise",
        "dequantise",
    ):
        assert rows[kind], kind
    assert all(row.nanoseconds > 0 and row.kernel.work > 0 for kind in rows.values() for row in kind)


def test_float_that_is_faster_leaves_every_node_float_and_stores_weights(
    float_model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = of_file(float_model, images, OPTIONS)
    fit = Fit("web", by_parts=True)
    one = replace(plain, overrides=replace(plain.overrides, fit=fit))
    monkeypatch.setattr(fitting.costs, "fit", lambda *_, **__: Fitted(one, one))
    monkeypatch.setattr(fitting, "_problem", lambda *_: None)
    monkeypatch.setattr(fitting.costs, "compare_latency", lambda *_: (2.0, 3.0, 1.0, 1.1))
    made = written(fitting.fitted(plain, BENCH, "measured"))
    assert made.plan.quantised == ()
    assert sum(made.plan.kept_float.values()) == len(made.plan.nodes)
    assert made.plan.kept_float[fitting.SLOWER] > 20
    assert any("1.00 ms in float, 1.10 ms with int8 weights alone: the last" in note for note in made.notes)
    assert made.size < 0.5 * float_model.stat().st_size
    feed = {made.candidate.model.input.name: noise(1, 3, 32, 32)}
    (found,), (wanted,) = quantised.optimised(made.model, feed), graphs.run(graph.load(float_model), feed)
    np.testing.assert_allclose(found, wanted, atol=0.05 * abs(wanted).max())
    monkeypatch.setattr(fitting.costs, "compare_latency", lambda *_: (0.5, 0.6, 1.0, 1.1))
    assert written(fitting.fitted(plain, BENCH, "measured")).plan.quantised


def test_nothing_that_is_faster_leaves_every_node_float(
    float_model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = of_file(float_model, images, OPTIONS)

    def none(*_: object, **__: object) -> None:
        raise NothingFasterError("every node stays float (slow); keep the float model")

    monkeypatch.setattr(fitting.costs, "fit", none)
    made = written(fitting.fitted(plain, BENCH, "measured"))
    assert made.plan.quantised == ()
    assert "every node stays float (slow); weights are stored as int8" in made.notes
    with pytest.raises(PlanError, match="keep the float model"):
        fitting.fitted(plain, replace(BENCH, never_slower=False), "measured")


def test_prelus_are_left_as_they_are(tmp_path: Path) -> None:
    slopes = {"s": np.array([[[0.1]], [[0.3]]], np.float32)}
    body = "a = Conv(x, w) p = PRelu(a, s) y = Conv(p, v)"
    model = graphs.graph(body, x="float[1,3,8,8]", w=kernel(2, 3, 1, 1), v=kernel(2, 2, 1, 1), **slopes)
    (tmp_path / "m.onnx").write_bytes(graph.to_bytes(model))
    kept = api.load(tmp_path / "m.onnx", options=OPTIONS).prepared.model
    lowered = api.load(tmp_path / "m.onnx").prepared.model
    assert "PRelu" in [node.op_type for node in kept.graph]
    assert "PRelu" not in [node.op_type for node in lowered.graph]


@needs_web
@pytest.mark.slow
def test_a_model_for_browsers_is_faster_there_than_the_portable_one_is_slow(
    quantseg: Command, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network of depthwise and tiny convolutions: integers are slow, so that float stays, and the check says so."""
    monkeypatch.setattr("quantseg.runtimes.speed_check.TURNS", targets_turns())
    path = tmp_path / "net.onnx"
    onnx.save(models.unet(base=8, depth=2, classes=3, size=32), path)
    words = ["quantize", path, "--data", images, "--effort", "fast", "-o", tmp_path / "m.onnx", "--threads", 1]
    outcome = quantseg(*words, "--target", "ort-web", "--no-cache", "--json", tmp_path / "m.json")
    assert outcome.code == 0, outcome.err
    assert "float " in outcome.out
    told = json.loads((tmp_path / "m.json").read_text())
    assert {entry["name"] for entry in told["timing"]["timings"]} >= {"float", "int8"}


def targets_turns() -> object:
    from quantseg.runtimes.latency import Turns

    return Turns(rounds=1, runs=2)


@needs_web
@pytest.mark.slow
def test_a_benchmark_is_timed_in_node(quantseg: Command, float_model: Path, tmp_path: Path) -> None:
    words = ["benchmark", float_model, "--runtime", "onnxruntime-web", "--rounds", 1, "--runs", 2]
    outcome = quantseg(*words, "--json", tmp_path / "b.json")
    assert outcome.code == 0, outcome.err
    assert f"onnxruntime-web {npm.ONNXRUNTIME_WEB}" in outcome.out
    (timing,) = json.loads((tmp_path / "b.json").read_text())["timings"]
    assert timing["median_ms"] > 0


def test_the_warning_is_said_once(caplog: pytest.LogCaptureFixture, no_node: None) -> None:
    with caplog.at_level(logging.WARNING):
        bench = targets.bench(OPTIONS.target, OPTIONS.context())
    assert bench is not None
    assert bench.table is not None
    assert len(caplog.messages) == 1


@needs_web
@pytest.mark.slow
def test_a_comparison_runs_every_model_in_the_browser_s_runtime_too(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    words = ["compare", float_model, "--data", images, "--effort", "fast", "--rounds", 1, "--web"]
    outcome = quantseg(*words, "--json", tmp_path / "c.json")
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "c.json").read_text())["compared"]
    both = {entry["name"] for entry in found if entry["runtime"] == "onnxruntime"}
    assert {entry["name"] for entry in found if entry["runtime"] == "onnxruntime-web"} == both
    assert all(entry["failed"] is None for entry in found)


@pytest.mark.usefixtures("no_node")
def test_a_comparison_without_node_is_one_line(quantseg: Command, float_model: Path, images: Path) -> None:
    outcome = quantseg("compare", float_model, "--data", images, "--web")
    assert outcome.code == 2
    assert outcome.err.endswith("error: onnxruntime-web is not installed; run: quantseg web setup\n")


def test_a_model_of_open_size_is_read_again_with_its_recipe(tmp_path: Path) -> None:
    body = "a = Conv(x, w) p = PRelu(a, s) y = Conv(p, v)"
    slopes = {"s": np.array([[[0.1]], [[0.3]]], np.float32)}
    model = graphs.graph(
        body, x="float[1,3,h,v]", y="float[1,2,h,v]", w=kernel(2, 3, 1, 1), v=kernel(2, 2, 1, 1), **slopes
    )
    (tmp_path / "m.onnx").write_bytes(graph.to_bytes(model))
    (tmp_path / "recipe.toml").write_text("[input]\nsize = [8, 8]\n")
    read = api.load(tmp_path / "m.onnx", tmp_path / "recipe.toml")
    again = api.load(read, options=OPTIONS)
    assert again.recipe == read.recipe
    assert "PRelu" in [node.op_type for node in again.prepared.model.graph]


def test_transposed_convolutions_of_few_products_stay_as_they_are(tmp_path: Path) -> None:
    body = "a = ConvTranspose<strides=[2,2]>(x, w) b = Conv(a, c) y = ConvTranspose<strides=[2,2]>(b, v)"
    weights = {"w": kernel(100, 8, 2, 2), "c": kernel(60, 8, 1, 1), "v": kernel(60, 3, 2, 2)}
    model = graphs.graph(body, x="float[1,100,4,4]", y="float[1,3,16,16]", **weights)
    (tmp_path / "m.onnx").write_bytes(graph.to_bytes(model))
    for options, left in ((OPTIONS, 1), (Options(), 0)):
        prepared = api.load(tmp_path / "m.onnx", options=options).prepared.model
        assert [node.op_type for node in prepared.graph].count("ConvTranspose") == left


@pytest.mark.usefixtures("no_node")
def test_a_report_with_web_but_without_node_is_one_line(quantseg: Command, float_model: Path, images: Path) -> None:
    outcome = quantseg("report", float_model, "--data", images, "--web")
    assert outcome.code == 2
    assert "quantseg web setup" in outcome.err.splitlines()[-1]


@needs_web
@pytest.mark.slow
def test_a_report_times_both_models_in_the_browsers_runtime(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    words = ["--effort", "fast", "--rounds", "1", "--limit", "2", "--no-images", "--web", "-o", tmp_path]
    outcome = quantseg("report", float_model, "--data", images, *words)
    assert outcome.code == 0, outcome.err
    folder = tmp_path / float_model.stem
    timed = json.loads((folder / "report.json").read_text())["web_latency"]
    assert [row["name"] for row in timed] == ["float", "int8"]
    assert all(row["median_ms"] > 0 for row in timed)
    assert "| int8, web " in (folder / "report.md").read_text()
