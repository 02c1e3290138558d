"""quantize --target ort-cpu from end to end: measured for real on a reference model, made up on a small one."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quantseg.cli.verdict import lines
from quantseg.errors import ModelError, PlanError
from quantseg.graph import load, signature
from quantseg.mixed_precision import fitting
from quantseg.mixed_precision.latency_model import Bench, Fitted, Objective, compare_latency
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.quantization.plan import Fit, Overrides
from quantseg.quantization.writing import written
from quantseg.refinement.options import Options
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes import speed_check as races
from quantseg.runtimes.execution import ExecutedNode
from quantseg.runtimes.latency import Timing, random_feeds
from quantseg.runtimes.onnxruntime_cpu import OnnxRuntimeCpu
from tests.support.candidates import of_file
from tests.support.command_line import ROOT, Command
from tests.support.fake_runtime import FAST_INTEGERS, Fake

CELLS = ROOT / "reference_models/weights/cells_unet.onnx"
REAL = OnnxRuntimeCpu.executed, OnnxRuntimeCpu.open


@pytest.fixture(autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of timings, a new one for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("QUANTSEG_CACHE", str(folder))
    return folder


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kernels take the times of FAST_INTEGERS. Gives a list that grows with every model that is timed."""
    asked: list[int] = []

    def executed(self: OnnxRuntimeCpu, model: bytes, *given: Any, **named: Any) -> tuple[ExecutedNode, ...]:
        asked.append(len(model))
        return Fake(FAST_INTEGERS).executed(model, *given, **named)

    monkeypatch.setattr(OnnxRuntimeCpu, "executed", executed)
    return asked


def timing(name: str, milliseconds: float, reference: float) -> Timing:
    return Timing(name, milliseconds, milliseconds, milliseconds, milliseconds, reference / milliseconds, 1, None)


@pytest.fixture
def slow_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float takes 1 ms, the int8 model 2 ms, and of the other plans the portable one alone is faster: 0.5 ms."""

    def benchmark(models: dict[str, Path], *_: Any, **__: Any) -> tuple[Timing, ...]:
        times = {races.FLOAT: 1.0, races.INT8: 2.0, "target=portable": 0.5}
        return tuple(timing(name, times.get(name, 3.0), 1.0) for name in models)

    monkeypatch.setattr(races, "benchmark", benchmark)


@pytest.mark.slow
def test_a_reference_model_is_faster_in_int8_and_the_second_time_the_same(
    quantseg: Command, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing made up: its convolutions take several times as long in float as in integers, on any machine."""
    words = ["quantize", CELLS, "--data", images, "--target", "ort-cpu", "--threads", 1, "--effort", "fast"]
    first = quantseg(*words, "-o", tmp_path / "first.onnx", "--json", tmp_path / "first.json", "--verbose")
    assert first.code == 0, first.err
    assert re.search(r"^float [\d.]+ ms, int8 [\d.]+ ms: [\d.]+x \(1 thread\), faster$", first.out, re.MULTILINE)
    written = json.loads((tmp_path / "first.json").read_text())
    convolutions = [node for node in written["nodes"] if node["op_type"] == "Conv"]
    assert sum(node["precision"] == "integer" for node in convolutions) > len(convolutions) / 2
    assert {entry["chosen"] for entry in written["costs"]} <= {"integer", "float"}
    assert [entry["name"] for entry in written["timing"]["timings"]] == ["float", "int8"]
    onnx.checker.check_model(onnx.load(tmp_path / "first.onnx"))

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("timed again")

    monkeypatch.setattr(OnnxRuntimeCpu, "executed", forbidden)
    second = quantseg(*words, "-o", tmp_path / "second.onnx", "--no-timing")
    assert second.code == 0, second.err
    assert (tmp_path / "second.onnx").read_bytes() == (tmp_path / "first.onnx").read_bytes()
    assert "faster" not in second.out.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("choice", [[], ["--latency-first"], ["--int8-everywhere"], ["--no-cache"]])
def test_the_model_runs_and_answers_as_the_portable_one(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, kept: Path, choice: list[str]
) -> None:
    here, anywhere = tmp_path / "here.onnx", tmp_path / "anywhere.onnx"
    words = ["quantize", float_model, "--data", images, "-o"]
    outcome = quantseg(*words, here, "--target", "ort-cpu", "--no-timing", *choice)
    assert outcome.code == 0, outcome.err
    assert quantseg(*words, anywhere).code == 0
    x = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    one, other = (OnnxRuntimeCpu().open(path, threads=1).run({"x": x})[0] for path in (here, anywhere))
    assert np.abs(one - other).max() < 0.05 * np.abs(other).max()
    assert bool(list(kept.iterdir())) == (not choice or choice == ["--latency-first"])


@pytest.mark.slow
def test_int8_everywhere_times_no_part(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, made_up: list[int]
) -> None:
    words = [
        "quantize",
        float_model,
        "--data",
        images,
        "--target",
        "ort-cpu",
        "--no-timing",
        "-o",
        tmp_path / "m.onnx",
    ]
    outcome = quantseg(*words, "--int8-everywhere")
    assert outcome.code == 0, outcome.err
    assert not made_up
    count, total = re.search(r"(\d+) of (\d+) nodes compute in integers", outcome.out).groups()  # type: ignore[union-attr]
    assert count == total


@pytest.mark.slow
@pytest.mark.usefixtures("made_up")
def test_a_dry_run_plans_by_time_and_times_no_model(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, made_up: list[int]
) -> None:
    words = ["quantize", float_model, "--data", images, "--target", "ort-cpu", "--dry-run", "--verbose"]
    outcome = quantseg(*words, "-o", tmp_path / "m.onnx")
    assert outcome.code == 0, outcome.err
    assert made_up
    assert "int8 ms" in outcome.out
    assert "faster" not in outcome.out
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "gpu"], "'gpu' is no target; choose portable, ort-cpu, ort-web, openvino or litert"),
        (["--target", "ort-cpu", "--format", "qdq"], "--format qdq contradicts it"),
        (["--target", "openvino", "--format", "qoperator"], "--target openvino writes qdq, --format qoperator"),
        (["--target", "ort-web", "--format", "channels-last"], "--target ort-web writes web, --format channels-last"),
        (["--target", "openvino", "--latency-first"], "--latency-first belongs to --target ort-cpu"),
        (["--target", "openvino", "--int8-everywhere"], "--int8-everywhere belongs to --target ort-cpu"),
        (["--target", "openvino", "--no-timing"], "--no-timing belongs to --target ort-cpu"),
        (["--latency-first"], "--latency-first belongs to --target ort-cpu"),
        (["--int8-everywhere"], "--int8-everywhere belongs to --target ort-cpu"),
        (["--no-cache"], "--no-cache belongs to --target ort-cpu"),
        (["--no-timing"], "--no-timing belongs to --target ort-cpu"),
        (["--target", "ort-cpu", "--latency-first", "--int8-everywhere"], "contradict each other"),
    ],
)
def test_choices_that_contradict_each_other_are_one_line(
    quantseg: Command, float_model: Path, images: Path, words: list[str], message: str
) -> None:
    outcome = quantseg("quantize", float_model, "--data", images, *words)
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_a_format_may_be_named_where_it_is_the_target_s_own() -> None:
    here = TargetOptions("ort-cpu")
    assert here.qformat("channels-last") == here.qformat(None) == "channels-last"
    assert TargetOptions().qformat("qoperator") == "qoperator"
    with pytest.raises(PlanError):
        here.qformat("qoperator")


@pytest.mark.slow
@pytest.mark.usefixtures("made_up", "slow_int8")
def test_where_int8_is_not_faster_the_plan_that_is_gets_named(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    words = ["quantize", float_model, "--data", images, "-o", tmp_path / "m.onnx", "--json", tmp_path / "m.json"]
    outcome = quantseg(*words, "--target", "ort-cpu", "--no-cache", "--threads", 1)
    assert outcome.code == 0, outcome.err
    said, offered = (line for line in outcome.out.splitlines() if line.startswith(("float 1", "faster is")))
    assert said == "float 1.00 ms, int8 2.00 ms: 0.50x (1 thread), not faster"
    command = "quantseg " + " ".join(map(str, words)) + " --threads 1 --target portable"
    assert offered == f"faster is 0.50 ms, 2.00x: {command}"
    names = [entry["name"] for entry in json.loads((tmp_path / "m.json").read_text())["timing"]["timings"]]
    assert names[:2] == ["float", "int8"]
    assert "--target portable" in names
    followed = quantseg(*command.split()[1:])
    assert followed.code == 0, followed.err


def test_where_nothing_is_faster_float_is_advised() -> None:
    outcome = races.SpeedCheck(
        timing("float", 1.0, 1.0), timing("int8", 2.0, 1.0), 2, (timing("--target portable", 1.5, 1.0),)
    )
    said, advice = lines(outcome, ["quantize", "m.onnx", "--target", "ort-cpu"])
    assert said.endswith("not faster")
    assert "keep the float model" in advice


def test_the_command_that_is_offered_has_one_target() -> None:
    best = timing("--target ort-cpu --latency-first", 0.5, 1.0)
    outcome = races.SpeedCheck(timing("float", 1.0, 1.0), timing("int8", 2.0, 1.0), 2, (best,))
    words = ["quantize", "my model.onnx", "--target=ort-cpu", "--int8-everywhere", "--format", "channels-last"]
    assert lines(outcome, words)[1].endswith(": quantseg quantize 'my model.onnx' --target ort-cpu --latency-first")


@pytest.mark.slow
def test_an_onnxruntime_without_its_own_operators_gets_qdq(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was built without com.microsoft: no such model opens. The model is valid all the same."""

    def lacking(real: Any) -> Any:
        def checked(self: OnnxRuntimeCpu, model: Any, *given: Any, **named: Any) -> Any:
            proto = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)
            if any(node.domain or node.op_type == "QLinearConv" for node in proto.graph.node):
                raise ModelError("Fatal error: com.microsoft is not a registered domain")
            return real(self, model, *given, **named)

        return checked

    fused = Fake(FAST_INTEGERS)
    monkeypatch.setattr(OnnxRuntimeCpu, "open", lacking(REAL[1]))
    monkeypatch.setattr(OnnxRuntimeCpu, "executed", lacking(lambda _, *given, **named: fused.executed(*given, **named)))
    for choice in ([], ["--int8-everywhere"]):
        target = tmp_path / f"m{len(choice)}.onnx"
        words = [
            "quantize",
            float_model,
            "--data",
            images,
            "--target",
            "ort-cpu",
            "--no-timing",
            "-o",
            target,
            *choice,
        ]
        outcome = quantseg(*words)
        assert outcome.code == 0, outcome.err
        (note,) = (line for line in outcome.out.splitlines() if line.startswith("note: ") and "channels-last" in line)
        assert "qdq" in note.lower()
        domains = {node.domain for node in onnx.load(target).graph.node}
        assert domains == {""}


@pytest.mark.slow
@pytest.mark.usefixtures("made_up")
def test_an_image_goes_in_and_a_mask_comes_out(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    """What is folded into the graph is placed like the rest; pixels are integers already and pay no border."""
    words = ["quantize", float_model, "--data", images, "--target", "ort-cpu", "--fold-preprocess", "--fold-argmax"]
    outcome = quantseg(*words, "--effort", "fast", "-o", tmp_path / "m.onnx", "--json", tmp_path / "m.json")
    assert outcome.code == 0, outcome.err
    assert re.search(r"^float .* faster$", outcome.out, re.MULTILINE)  # or "not faster": this model is tiny
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    session = OnnxRuntimeCpu().open(tmp_path / "m.onnx", threads=1)
    (mask,) = session.run({session.inputs[0].name: image})
    assert (mask.shape, mask.dtype) == ((1, 32, 32), np.uint8)
    assert "QuantizeLinear" not in [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]


@pytest.mark.slow
@pytest.mark.usefixtures("made_up")
def test_a_folder_of_timings_that_cannot_be_written_is_a_note(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QUANTSEG_CACHE", str(tmp_path / "file"))
    words = [
        "quantize",
        float_model,
        "--data",
        images,
        "--target",
        "ort-cpu",
        "--no-timing",
        "-o",
        tmp_path / "m.onnx",
    ]
    outcome = quantseg(*words)
    assert outcome.code == 0
    assert "the timings are not kept" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize(("by_parts", "objective", "taken"), [
    (0.9, "measured", True), (0.98, "measured", False), (1.1, "measured", False),
    (0.98, "latency-first", True), (1.1, "latency-first", False),
])  # fmt: skip
def test_a_placement_by_parts_has_to_win_the_last_heat(
    by_parts: float, objective: Objective, taken: bool, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clearly, since by rule the masks are the portable model's; for the sake of latency alone, at all."""
    plain = of_file(CELLS, images, Options(limit=2, threads=1))
    first = next(node.name for node in plain.plan.nodes if node.op_type == "Conv")
    fit = Fit("channels-last", by_parts=True)
    slow = replace(plain, overrides=Overrides(kept_float={first: "slow"}, fit=fit))
    ruled = replace(plain, overrides=Overrides(fit=replace(fit, by_parts=False)))
    monkeypatch.setattr(fitting.costs, "fit", lambda *_, **__: Fitted(slow, ruled))
    monkeypatch.setattr(fitting.costs, "compare_latency", lambda models, *_: (by_parts, 1.0))
    found = fitting.fitted(plain, Bench(RUNTIMES["onnxruntime"], 1, None), objective)
    made = written(found)
    assert made.fit is not None
    assert made.fit.by_parts == taken == (not made.plan.is_quantised(first))
    assert any("1.00 ms by rule" in note for note in made.notes)


@pytest.mark.slow
def test_the_last_heat_is_remembered(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [load(CELLS), load(CELLS)]
    models[1].metadata_props["other"] = "bytes"
    bench = Bench(RUNTIMES["onnxruntime"], 1, kept)
    feeds = random_feeds([replace(spec, shape=(1, *spec.shape[1:])) for spec in signature(models[0])[0]])
    first = compare_latency(models, feeds, bench)
    assert min(first) > 0
    monkeypatch.setattr(OnnxRuntimeCpu, "open", lambda *_, **__: pytest.fail("timed again"))
    assert compare_latency(models, feeds, bench) == first
