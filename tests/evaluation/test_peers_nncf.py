import logging
import os
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quantseg.errors import DataError, MissingExtraError
from quantseg.evaluation.peers import PeerError, quantize_with_nncf
from quantseg.evaluation.peers.nncf import nncf, preset
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.execution import summary
from quantseg.runtimes.openvino_cpu import read_model
from tests.support import models

RNG = np.random.default_rng(0)
FEEDS = [{"x": RNG.standard_normal((1, 3, 16, 16)).astype(np.float32)} for _ in range(4)]

needs_nncf = pytest.mark.skipif(
    find_spec("nncf") is None or find_spec("openvino") is None, reason="nncf or openvino is not installed: an extra"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(models.unet(base=8, depth=1, classes=2, size=16), tmp_path / "float.onnx")
    return tmp_path / "float.onnx"


def test_without_the_extra_one_line_tells_what_to_install(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingExtraError, match=r'^NNCF is not installed; pip install "quantseg\[openvino\]"$'):
        quantize_with_nncf(model, tmp_path / "int8.xml", FEEDS, images=4)


@needs_nncf
def test_the_int8_model_says_nearly_what_the_float_model_says(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "int8.xml"
    quantize_with_nncf(model, output, FEEDS, images=4)
    session = RUNTIMES["openvino"].open(output, threads=1)
    expected, (found,) = models.run(onnx.load(model), FEEDS[0])[0], session.run(FEEDS[0])
    assert [spec.name for spec in session.outputs] == [onnx.load(model).graph.output[0].name]
    assert 0 < np.abs(found - expected).max() < 0.2 * np.abs(expected).max()
    kinds = summary(RUNTIMES["openvino"].executed(output, FEEDS[0], threads=1, runs=1)).kinds
    assert kinds["int8"].nodes > kinds["float"].nodes


@needs_nncf
def test_it_is_silent_leaves_only_its_model_and_logging_is_as_before(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLoggerClass(), list(logging.getLogger().handlers), os.environ.get("NNCF_CI")
    quantize_with_nncf(model, tmp_path / "int8.xml", FEEDS, images=4)
    assert capfd.readouterr() == ("", "")
    assert (logging.getLoggerClass(), list(logging.getLogger().handlers), os.environ.get("NNCF_CI")) == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["float.onnx", "int8.bin", "int8.xml"]


@needs_nncf
def test_it_reports_nothing_to_anybody() -> None:
    """In a fresh process, without pytest: there NNCF keeps quiet by itself."""
    import subprocess

    code = "from quantseg.evaluation.peers.nncf import nncf; print(type(nncf().telemetry.telemetry).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "MagicMock\n"
    assert done.stderr == ""


@needs_nncf
def test_a_model_of_dynamic_size_is_quantised_at_the_size_of_the_images(tmp_path: Path) -> None:
    model = models.text("""
    <ir_version: 8, opset_import: ["": 13]>
    g (float[N, 3, H, W] x) => (float[N, 2, H, W] y) <float[2, 3, 1, 1] w = {1, -2, 3, -4, 5, -6}> { y = Conv(x, w) }
    """)
    onnx.save(model, tmp_path / "free.onnx")
    quantize_with_nncf(tmp_path / "free.onnx", tmp_path / "int8.xml", FEEDS, images=4)
    assert RUNTIMES["openvino"].open(tmp_path / "int8.xml", threads=1).inputs[0].shape == (1, 3, 16, 16)


@needs_nncf
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Relu(x)", "performance"),
        ("c = Relu(x)  y = Sigmoid(c)", "performance"),
        ("c = LeakyRelu(x)  y = Relu(c)", "mixed"),
        ("c = Sigmoid(x)  y = Mul(x, c)", "mixed"),
        ("c = Elu(x)  y = Relu(c)", "mixed"),
    ],
)
def test_the_preset_follows_the_activations(body: str, expected: str) -> None:
    source = f'<ir_version: 8, opset_import: ["": 13]> g (float[1, 2] x) => (float[1, 2] y) {{ {body} }}'
    assert preset(read_model(models.text(source).SerializeToString())) == expected
    assert nncf().QuantizationPreset(expected)


@needs_nncf
@pytest.mark.parametrize(("feeds", "images"), [([], 0), ([{"z": FEEDS[0]["x"]}], 1)])
def test_what_it_cannot_do_is_one_line_and_no_file(
    model: Path, tmp_path: Path, feeds: list[Mapping[str, Any]], images: int
) -> None:
    with pytest.raises(PeerError, match=r"float\.onnx: NNCF failed \(.+\)") as caught:
        quantize_with_nncf(model, tmp_path / "int8.xml", feeds, images=images)
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["float.onnx"]


@needs_nncf
def test_an_unreadable_image_is_told_as_itself(model: Path, tmp_path: Path) -> None:
    class Feeds:
        def __iter__(self) -> Iterator[Mapping[str, Any]]:
            yield FEEDS[0]
            raise DataError("b.png: not an image")

    with pytest.raises(DataError, match=r"b\.png"):
        quantize_with_nncf(model, tmp_path / "int8.xml", Feeds(), images=2)
