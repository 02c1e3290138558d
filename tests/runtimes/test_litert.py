"""LiteRT as a runtime: axes as in the ONNX model, one-line errors, the extra."""

import sys
from pathlib import Path

import numpy as np
import pytest

from quantseg.errors import MissingExtraError, ModelError
from quantseg.graph import is_quantised, signature
from quantseg.quantization.formats.litert.file import to_bytes
from quantseg.quantization.formats.litert.listing import read_listing
from quantseg.runtimes import DEFAULT, RUNTIMES, for_file
from tests.support import graphs, litert
from tests.support.quantised import kernel, noise

FEEDS = [{"x": noise(1, 3, 8, 6, seed=seed)} for seed in range(2)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    text = graphs.graph("a = Conv(x, w) y = Relu(a)", x="float[1,3,8,6]", w=kernel(4, 3, 1, 1))
    path = tmp_path / "int8.tflite"
    path.write_bytes(to_bytes(litert.networks(text, FEEDS)[1]))
    return path


def test_feeds_and_outputs_have_the_axes_of_the_onnx_model(file: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    session = RUNTIMES["litert"].open(file, threads=1)
    assert [(spec.name, spec.shape) for spec in (*session.inputs, *session.outputs)] == [
        ("x", (1, 3, 8, 6)),
        ("y", (1, 4, 8, 6)),
    ]
    (found,) = session.run(FEEDS[0])
    text = graphs.graph("a = Conv(x, w) y = Relu(a)", x="float[1,3,8,6]", w=kernel(4, 3, 1, 1))
    exact = graphs.run(text, FEEDS[0])[0]
    assert np.abs(found - exact).max() < 0.05 * exact.max()
    session.close()


def test_wrong_feeds_are_named(file: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    session = RUNTIMES["litert"].open(file, threads=1)
    with pytest.raises(ModelError, match=r"input 'x' was given as float32 \(1, 8, 6, 3\); feed float32 \(1, 3, 8, 6\)"):
        session.run({"x": FEEDS[0]["x"].transpose(0, 2, 3, 1)})
    session.close()


def test_operators_and_their_types_are_listed(file: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    for name in ("litert", "litert-reference"):
        ran = RUNTIMES[name].executed(file, FEEDS[0], threads=1, runs=1)
        assert [(node.op_type, node.kind) for node in ran] == [
            ("QuantizeLinear", "boundary"),
            ("Conv", "int8"),
            ("DequantizeLinear", "boundary"),
        ]


def test_nothing_is_written_to_standard_error(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    RUNTIMES["litert"].open(file, threads=1).close()
    assert capfd.readouterr() == ("", "")


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    odd = tmp_path / "odd.tflite"
    odd.write_bytes(b"no flatbuffer at all")
    with pytest.raises(ModelError, match=r"odd\.tflite: is no \.tflite file"):
        RUNTIMES["litert"].open(odd, threads=1)
    with pytest.raises(ModelError, match=r"LiteRT runs \.tflite files; quantise with target=litert"):
        RUNTIMES["litert"].open(tmp_path / "model.onnx", threads=1)
    with pytest.raises(ModelError, match="cannot be read"):
        RUNTIMES["litert"].open(tmp_path / "none.tflite", threads=1)


def test_without_the_package_the_extra_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(MissingExtraError, match=r'LiteRT is not installed; pip install "quantseg\[litert\]"'):
        RUNTIMES["litert"].open(file, threads=1)


def test_the_ending_of_a_file_decides(file: Path) -> None:
    assert for_file(DEFAULT, file).name == "litert"
    assert for_file(RUNTIMES["litert-reference"], file).name == "litert-reference"
    assert for_file(DEFAULT, Path("model.onnx")) is DEFAULT


def test_a_listing_has_the_signature_and_operators_without_the_package(file: Path) -> None:
    found = read_listing(file)
    inputs, outputs = signature(found)
    assert (inputs[0].shape, outputs[0].shape) == ((1, 3, 8, 6), (1, 4, 8, 6))
    assert is_quantised(found)
    assert [node.op_type for node in found.graph] == ["QuantizeLinear", "CONV_2D", "DequantizeLinear"]
