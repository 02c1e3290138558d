import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from quantseg.data.drawn_cells import write_cells
from quantseg.data.sources import opener
from quantseg.errors import MissingExtraError, ModelError
from quantseg.evaluation.agreement import evaluate
from quantseg.evaluation.predictions import open_pair
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.writing import written
from quantseg.refinement.options import Options
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.execution import summary
from quantseg.runtimes.latency import Turns, benchmark
from quantseg.runtimes.on_disk import file_bytes, file_digest
from quantseg.runtimes.openvino_profile import ProfiledLayer, executed_nodes
from tests.support import candidates, models
from tests.support.places import WEIGHTS

OPENVINO = RUNTIMES["openvino"]

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed: an extra")


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> tuple[FloatModel, Path, Path]:
    """A trained U-Net, images for it, and its QDQ form."""
    folder = tmp_path_factory.mktemp("cells")
    write_cells(folder / "data", 4, seed=0, size=(192, 192))
    candidate = candidates.of_file(WEIGHTS / "cells_unet.onnx", folder / "data", Options(threads=2))
    return candidate.model, folder / "data", written(candidate).save(folder / "qdq.onnx")


def test_without_the_extra_one_line_tells_what_to_install(monkeypatch: pytest.MonkeyPatch, float_model: Path) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r'^OpenVINO is not installed; pip install "quantseg\[openvino\]"$'):
        OPENVINO.open(float_model, threads=1)
    with pytest.raises(MissingExtraError):
        _ = OPENVINO.version


@pytest.mark.slow
def test_the_package_is_not_imported_before_it_is_needed() -> None:
    """In a fresh process: here another test may have needed it."""
    import subprocess

    modules = "quantseg.cli.commands, quantseg.evaluation.tool_comparison, quantseg.evaluation.peers"
    code = f"import sys, {modules}; print({{'openvino', 'nncf'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@needs_openvino
def test_float_is_float32_on_every_processor(cells: tuple[FloatModel, Path, Path]) -> None:
    """bfloat16 has 8 bits of precision: it would be off by some 1e-2 of the largest output."""
    model, data, _ = cells
    images = opener(data)(model.recipe, model.input)
    with open_pair(model.source, model.source, threads=2, runtime=OPENVINO) as (reference, candidate):
        found = evaluate(reference, candidate, images, model.recipe)
    assert found.agreement > 0.9999
    assert found.sqnr_db is not None
    assert found.sqnr_db > 90


@needs_openvino
def test_masks_of_our_qdq_model_agree_with_those_of_onnxruntime(
    cells: tuple[FloatModel, Path, Path],
) -> None:
    model, data, qdq = cells
    images = opener(data)(model.recipe, model.input)
    with open_pair(qdq, qdq, threads=2, runtime=OPENVINO) as (reference, candidate):
        assert evaluate(reference, candidate, images, model.recipe).agreement > 0.99


@needs_openvino
def test_our_qdq_model_runs_in_integers(cells: tuple[FloatModel, Path, Path]) -> None:
    model, _, qdq = cells
    feeds = {model.input.name: noise(1, 3, 192, 192)}
    plain, ours = (summary(OPENVINO.executed(path, feeds, threads=1, runs=3)) for path in (model.source, qdq))
    assert (plain.kinds["int8"].nodes, plain.kinds["boundary"].nodes) == (0, 0)
    assert plain.kinds["float"].share > 0.5
    assert plain.float_conv_transposes == 3
    assert plain.convolution_share > 0.5
    assert ours.kinds["int8"].nodes > ours.kinds["float"].nodes
    assert ours.float_conv_transposes == 0
    assert ours.quantize_nodes >= 1
    assert sum(kind.share for kind in ours.kinds.values()) == pytest.approx(1)


@needs_openvino
def test_a_dynamic_size_may_change_from_run_to_run() -> None:
    model = models.text("""
    <ir_version: 8, opset_import: ["": 13]>
    g (float[N, 1, H, W] x) => (float[N, 2, H, W] y) <float[2, 1, 1, 1] w = {1, -2}> { y = Conv(x, w) }
    """)
    session = OPENVINO.open(model.SerializeToString(), threads=1)
    for shape in ((1, 1, 4, 6), (2, 1, 8, 8), (1, 1, 4, 6)):
        feeds = {"x": noise(*shape)}
        np.testing.assert_allclose(session.run(feeds)[0], models.run(model, feeds)[0], rtol=1e-6)


@needs_openvino
def test_outputs_are_the_callers_own_and_inputs_stay_as_they_are() -> None:
    unet = models.unet(base=2, depth=1, size=16)
    session = OPENVINO.open(unet.SerializeToString(), threads=1)
    first, second = noise(1, 3, 16, 16), noise(16, 16, 3, 1).T  # one of them not contiguous
    first.setflags(write=False)
    (kept,) = session.run({"x": first})
    before = kept.copy()
    (other,) = session.run({"x": second})
    np.testing.assert_array_equal(kept, before)
    np.testing.assert_allclose(other, models.run(unet, {"x": np.ascontiguousarray(second)})[0], atol=1e-4)


@needs_openvino
def test_outputs_keep_their_names_whatever_makes_them() -> None:
    model = models.text("""
    <ir_version: 8, opset_import: ["": 13]>
    g (float[2, 4] x) => (float[2, 4] same, float[2, 2] left, float[2, 2] right, float[2, 2] again, int64[2] size) {
      same = Identity(x)
      left, right = Split <axis = 1> (x)
      again = Identity(right)
      size = Shape(x)
    }
    """)
    session = OPENVINO.open(model.SerializeToString(), threads=1)
    names = ["same", "left", "right", "again", "size"]
    assert [spec.name for spec in session.outputs] == names
    feeds = {"x": noise(2, 4)}
    for found, expected in zip(session.run(feeds, names), models.run(model, feeds, names), strict=True):
        np.testing.assert_array_equal(found, expected)


@needs_openvino
def test_an_output_whose_size_the_data_decides_is_given_whole() -> None:
    model = models.text("""
    <ir_version: 8, opset_import: ["": 13]> g (float[4] x) => (int64[1, N] y) { y = NonZero(x) }
    """)
    session = OPENVINO.open(model.SerializeToString(), threads=1)
    for x, expected in (([0, 1, 0, 1], [[1, 3]]), ([1, 1, 1, 0], [[0, 1, 2]])):
        np.testing.assert_array_equal(session.run({"x": np.array(x, np.float32)})[0], expected)


@needs_openvino
def test_operators_of_onnxruntimes_own_are_refused_with_their_name(capfd: pytest.CaptureFixture[str]) -> None:
    model = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["": 13, "com.microsoft": 1]>
    g (uint8[1, 4, 4, 2] x) => (uint8[1, 2, 2, 2] y) { y = com.microsoft.NhwcMaxPool <kernel_shape = [3, 3]> (x) }
    """)
    with pytest.raises(ModelError, match=r"com\.microsoft\.NhwcMaxPool\); run it in onnxruntime, or") as caught:
        OPENVINO.open(model.SerializeToString(), threads=1)
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")


@needs_openvino
def test_models_of_two_runtimes_are_timed_in_one_benchmark(cells: tuple[FloatModel, Path, Path]) -> None:
    model, _, qdq = cells
    rows = benchmark(
        {"float": model.source, "int8": qdq},
        runtime={"float": RUNTIMES["onnxruntime"], "int8": OPENVINO},
        threads=1,
        turns=Turns(rounds=1, runs=2),
    )
    assert [row.name for row in rows] == ["float", "int8"]
    assert rows[0].ratio == 1
    for row in rows:
        assert row.median_ms > 0
        # Its own libraries, loaded before, take far more than this model.
        assert row.peak_memory_bytes is None or row.peak_memory_bytes < 200_000_000


def test_bytes_of_openvino_ir_are_those_of_both_files(tmp_path: Path) -> None:
    (tmp_path / "net.xml").write_bytes(b"<net/>")
    (tmp_path / "net.bin").write_bytes(bytes(100))
    assert file_bytes(tmp_path / "net.xml") == 106
    before = file_digest(tmp_path / "net.xml")
    assert before == file_digest(tmp_path / "net.xml")
    (tmp_path / "net.bin").write_bytes(bytes(99) + b"1")
    assert file_digest(tmp_path / "net.xml") != before


@pytest.mark.parametrize(
    ("layer", "op_type", "kind"),
    [
        (ProfiledLayer("a", "Convolution", "u8", "u8", "u8"), "Conv", "int8"),
        (ProfiledLayer("a", "Convolution", "u8", "u8", "f32"), "Conv", "int8"),
        (ProfiledLayer("a", "Convolution", "f32", "f32", "u8"), "Conv", "float"),
        (ProfiledLayer("a", "Convolution", "bf16", "bf16", "bf16"), "Conv", "float"),
        (ProfiledLayer("a", "Deconvolution", "f32", "f32", "f32"), "ConvTranspose", "float"),
        (ProfiledLayer("a", "FakeQuantize", "f32", "f32", "u8"), "QuantizeLinear", "boundary"),
        (ProfiledLayer("a", "FakeQuantize", "f32", "f32", "f32"), "FakeQuantize", "float"),
        (ProfiledLayer("a", "FakeQuantize", "u8", "u8", "u8"), "FakeQuantize", "int8"),
        (ProfiledLayer("a", "Convert", "u8", "u8", "f32"), "DequantizeLinear", "boundary"),
        (ProfiledLayer("a", "Subgraph", "f32", "f32", "u8"), "QuantizeLinear", "boundary"),
        (ProfiledLayer("a", "Subgraph", "dynamic", "f32", "f32"), "Subgraph", "float"),
        (ProfiledLayer("a", "Eltwise", "u8", "u8", "u8"), "Eltwise", "int8"),
        (ProfiledLayer("a", "Concatenation", "i8", "i8", "i8"), "Concat", "int8"),
        (ProfiledLayer("a", "Concatenation", "f32", "f32", "f32"), "Concat", "movement"),
        (ProfiledLayer("a", "Reorder", "f32", "f32", "f32"), "Reorder", "movement"),
        (ProfiledLayer("a", "Convert", "i64", "i64", "i32"), "Convert", "other"),
    ],
)
def test_the_kind_of_a_layer_is_what_its_kernel_computes_on(layer: ProfiledLayer, op_type: str, kind: str) -> None:
    (node,) = executed_nodes([layer], [{"a": 1.0}])
    assert (node.op_type, node.kind, node.domain) == (op_type, kind, "openvino")


def test_times_are_medians_and_what_did_not_run_is_left_out() -> None:
    layers = [ProfiledLayer(name, "Convolution", "u8", "u8", "u8") for name in ("folded", "first", "last")]
    nodes = executed_nodes(
        layers, [{"first": 1.0, "last": 3.0}, {"last": 3.0, "first": 9.0}, {"first": 1.0, "last": 4}]
    )
    assert [(node.name, node.seconds, node.share) for node in nodes] == [("first", 1.0, 0.25), ("last", 3.0, 0.75)]
