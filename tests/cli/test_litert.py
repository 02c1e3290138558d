"""`--target litert`: an int8 .tflite file from the command line: written, run, judged, timed, simulated."""

import json
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest

from quantseg import api, graph
from quantseg.quantization.formats.litert import to_tflite
from quantseg.quantization.formats.litert.file import from_bytes
from tests.support import graphs, litert
from tests.support.command_line import Command
from tests.support.quantised import kernel

needs_litert = pytest.mark.skipif(find_spec("ai_edge_litert") is None, reason=litert.WITHOUT)


@pytest.fixture(scope="module")
def made(float_model: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The U-Net of conftest as a .tflite file."""
    path = tmp_path_factory.mktemp("litert") / "net.int8.tflite"
    return api.quantize(float_model, images, effort="fast", threads=1, target="litert").save(path)


def test_quantize_writes_a_tflite_file_beside_the_model(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(float_model.read_bytes())
    words = ["--data", images, "--effort", "fast", "--target", "litert"]
    outcome = quantseg("quantize", model, *words)
    assert outcome.code == 0, outcome.err
    written = tmp_path / "net.int8.tflite"
    assert str(written) in outcome.out
    again = quantseg("quantize", model, *words)  # its own file is overwritten
    assert again.code == 0, again.err
    network = from_bytes(written.read_bytes(), "it")
    kinds = {operator.kind for operator in network.operators}
    assert "TRANSPOSE_CONV" in kinds
    assert "TRANSPOSE" not in kinds
    assert network.inputs[0].shape == (1, 32, 32, 3)
    ours = json.loads(network.metadata["quantseg"])
    assert ours["orders"]["inputs"] == {network.inputs[0].name: [0, 2, 3, 1]}
    assert ours["preprocessing"]["channels"] == "RGB"
    assert ours["preprocessing"]["size"] == [32, 32]
    assert "min_runtime_version" in network.metadata


def test_the_same_words_give_the_same_bytes(made: Path, float_model: Path, images: Path) -> None:
    again = api.quantize(float_model, images, effort="fast", threads=1, target="litert")
    assert again.tflite == made.read_bytes()


@pytest.mark.parametrize(("target", "name"), [("litert", "m.onnx"), ("portable", "m.tflite")])
def test_a_name_of_the_other_kind_is_refused(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, target: str, name: str
) -> None:
    outcome = quantseg("quantize", float_model, "--data", images, "--target", target, "-o", tmp_path / name)
    assert outcome.code == 2
    assert f"--target {target} writes" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not (tmp_path / name).exists()


def test_an_operator_that_litert_lacks_is_one_line(quantseg: Command, images: Path, tmp_path: Path) -> None:
    text = 'a = Conv(x, w) b = Resize<mode="cubic">(a, , s) y = Conv(b, v)'
    scales = onnx.numpy_helper.to_array(onnx.helper.make_tensor("s", 1, [4], [1.0, 1.0, 2.0, 2.0]))
    weights = {"w": kernel(4, 3, 1, 1), "v": kernel(3, 4, 1, 1), "s": scales}
    graph.save(graphs.graph(text, x="float[1,3,32,32]", y="float[1,3,64,64]", **weights), tmp_path / "odd.onnx")
    words = ["--data", images, "--effort", "fast", "--target", "litert"]
    outcome = quantseg("quantize", tmp_path / "odd.onnx", *words)
    assert outcome.code == 2
    assert "(Resize): interpolates by cubic, LiteRT does linearly; use bilinear" in outcome.err
    assert "error: " in outcome.err.strip().splitlines()[-1]
    assert not list(tmp_path.glob("*.tflite"))


def test_types_that_litert_lacks_are_one_line(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    words = ["--data", images, "--effort", "fast", "--target", "litert", "-o", tmp_path / "m.tflite"]
    outcome = quantseg("quantize", float_model, *words, "--weight-type", "uint8")
    assert outcome.code == 2
    assert "LiteRT takes symmetric int8 weights, not uint8; leave the type out" in outcome.err


def test_search_does_not_know_the_target(quantseg: Command, float_model: Path, images: Path) -> None:
    outcome = quantseg("search", float_model, "--data", images, "--calib", images, "--target", "litert")
    assert outcome.code == 2
    assert "--target litert: search weighs nodes by onnxruntime's kernels; quantise for that target" in outcome.err


@needs_litert
@pytest.mark.slow
def test_every_effort_writes_it(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    words = ["--data", images, "--effort", "balanced", "--target", "litert", "-o", tmp_path / "m.tflite"]
    outcome = quantseg("quantize", float_model, *words)
    assert outcome.code == 0, outcome.err
    outcome = quantseg("evaluate", tmp_path / "m.tflite", "--reference", float_model, "--data", images)
    assert outcome.code == 0, outcome.err


@needs_litert
def test_evaluate_compares_it_with_the_float_model(
    quantseg: Command, float_model: Path, made: Path, images: Path, int8_model: Path, tmp_path: Path
) -> None:
    found = {}
    for path in (made, int8_model):
        outcome = quantseg(
            "evaluate", path, "--reference", float_model, "--data", images, "--json", tmp_path / "e.json", "--force"
        )
        assert outcome.code == 0, outcome.err
        found[path] = json.loads((tmp_path / "e.json").read_text())["agreement"]
    assert abs(found[made] - found[int8_model]) < 0.05  # of a network of noise


@needs_litert
def test_a_portable_candidate_is_written_too(float_model: Path, images: Path, tmp_path: Path) -> None:
    portable = api.quantize(float_model, images, effort="fast", threads=1)
    path = tmp_path / "portable.tflite"
    path.write_bytes(to_tflite(portable.candidate))
    found = [api.evaluate(float_model, one, images).agreement for one in (path, portable.save(tmp_path / "m.onnx"))]
    assert abs(found[0] - found[1]) < 0.02


@needs_litert
def test_benchmark_and_inspect_run_it_in_litert(
    quantseg: Command, float_model: Path, made: Path, tmp_path: Path
) -> None:
    words = ["--rounds", "1", "--runs", "1", "--json", tmp_path / "b.json"]
    outcome = quantseg("benchmark", float_model, made, *words)
    assert outcome.code == 0, outcome.err
    assert len(json.loads((tmp_path / "b.json").read_text())["timings"]) == 2
    outcome = quantseg("inspect", made)
    assert outcome.code == 0, outcome.err
    assert "1 QuantizeLinear, 1 DequantizeLinear, 0 Transpose, 0 float ConvTranspose" in outcome.out
    outcome = quantseg("benchmark", float_model, "--runtime", "litert")
    assert outcome.code == 2
    assert "LiteRT runs .tflite files" in outcome.err


@needs_litert
def test_simulate_computes_its_integers(quantseg: Command, made: Path, images: Path, tmp_path: Path) -> None:
    outcome = quantseg("simulate", made, "--data", images, "--against", "litert", "--limit", "1")
    assert outcome.code == 0, outcome.err + outcome.out
    assert "integer tensors equal bit for bit" in outcome.out
    outcome = quantseg("simulate", made, "--data", images, "--against", "xnnpack", "--limit", "1")
    assert outcome.code in (0, 1), outcome.err
    outcome = quantseg("simulate", made, "--data", images, "--against", "onnxruntime")
    assert outcome.code == 2
    assert "computes another kind of file" in outcome.err


@needs_litert
def test_a_folded_file_takes_pixels_and_gives_classes(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    path = tmp_path / "folded.tflite"
    words = ["--data", images, "--effort", "fast", "--target", "litert", "--fold-preprocess", "--fold-argmax"]
    outcome = quantseg("quantize", float_model, *words, "-o", path)
    assert outcome.code == 0, outcome.err
    network = from_bytes(path.read_bytes(), "it")
    assert (network.inputs[0].dtype, network.inputs[0].shape) == ("uint8", (1, 32, 32, 3))
    assert (network.outputs[0].dtype, network.outputs[0].shape) == ("uint8", (1, 32, 32))
    assert {one.dtype for operator in network.operators for one in operator.outputs} <= {"int8", "uint8", "int32"}
    outcome = quantseg("evaluate", path, "--reference", float_model, "--data", images)
    assert outcome.code == 0, outcome.err


@needs_litert
def test_report_shows_it_beside_the_float_model(
    quantseg: Command, float_model: Path, made: Path, images: Path, tmp_path: Path
) -> None:
    words = ["--data", images, "--rounds", "1", "--output", tmp_path / "report"]
    outcome = quantseg("report", float_model, made, *words)
    assert outcome.code == 0, outcome.err
