import io
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quantseg.errors import DataError, ModelError
from quantseg.evaluation.peers import CALIBRATORS, FORMATS, PeerError, PeerSettings, quantize_with_onnxruntime
from quantseg.runtimes import RUNTIMES
from quantseg.simulation.saturation import saturates
from tests.support import models

RNG = np.random.default_rng(0)
FEEDS = [{"x": RNG.standard_normal((1, 3, 16, 16)).astype(np.float32)} for _ in range(4)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(models.unet(base=2, depth=1, classes=2, size=16), tmp_path / "float.onnx")
    return tmp_path / "float.onnx"


def scales(path: Path) -> dict[str, np.ndarray]:
    weights = onnx.load(path).graph.initializer
    return {w.name: onnx.numpy_helper.to_array(w) for w in weights if w.name.endswith("_scale")}


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_the_int8_model_says_nearly_what_the_float_model_says(
    model: Path, tmp_path: Path, calibrator: str, qformat: str
) -> None:
    output = tmp_path / "int8.onnx"
    reduced = saturates(RUNTIMES["onnxruntime"])  # its weights of 8 bits saturate there
    settings = PeerSettings(calibrator=calibrator, qformat=qformat, reduce_range=reduced)
    quantize_with_onnxruntime(model, output, iter(FEEDS), settings)
    expected = models.run(onnx.load(model), FEEDS[0])[0]
    found = models.run(onnx.load(output), FEEDS[0])[0]
    assert np.abs(found - expected).max() < 0.2 * np.abs(expected).max()
    assert ("QLinearConv" in operators(output)) == (qformat == "qoperator")


@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_have_one_scale_per_channel_on_request(model: Path, tmp_path: Path, per_channel: bool) -> None:
    output = tmp_path / "int8.onnx"
    quantize_with_onnxruntime(model, output, FEEDS, PeerSettings(per_channel=per_channel))
    assert scales(output)["w0_scale"].shape == ((2,) if per_channel else ())


def test_settings_reach_the_quantizer(model: Path, tmp_path: Path) -> None:
    def zero_point(name: str, **settings: Any) -> np.ndarray:
        output = tmp_path / "int8.onnx"
        quantize_with_onnxruntime(model, output, FEEDS, PeerSettings(per_channel=False, **settings))
        (found,) = (w for w in onnx.load(output).graph.initializer if w.name == f"{name}_zero_point")
        return onnx.numpy_helper.to_array(found)

    assert zero_point("x").dtype == np.uint8
    assert zero_point("x", activation_type="int8").dtype == np.int8
    assert zero_point("x", activation_type="int8", activation_symmetric=True) == 0
    assert zero_point("w0", weight_type="uint8", weight_symmetric=False).dtype == np.uint8


def test_reduced_range_doubles_the_weights_step(model: Path, tmp_path: Path) -> None:
    steps = {}
    for reduce_range in (False, True):
        settings = PeerSettings(per_channel=False, reduce_range=reduce_range)
        quantize_with_onnxruntime(model, tmp_path / "int8.onnx", FEEDS, settings)
        steps[reduce_range] = scales(tmp_path / "int8.onnx")["w0_scale"]
    np.testing.assert_allclose(steps[True] / steps[False], 127 / 64, rtol=0.01)


def test_an_old_model_is_converted_first(tmp_path: Path) -> None:
    model = models.text("""
    <ir_version: 4, opset_import: ["": 9]>
    g (float[1, 1, 4, 4] x) => (float[1, 2, 8, 8] y)
    <float[2, 1, 1, 1] w = {1, -2}, float[4] sizes = {1, 1, 2, 2}> { c = Conv(x, w)  y = Upsample(c, sizes) }
    """)
    onnx.save(model, tmp_path / "old.onnx")
    feeds = [{"x": np.ones((1, 1, 4, 4), np.float32)}]
    quantize_with_onnxruntime(tmp_path / "old.onnx", tmp_path / "int8.onnx", feeds)
    assert onnx.load(tmp_path / "int8.onnx").opset_import[0].version >= 13
    assert "Resize" in operators(tmp_path / "int8.onnx")


@pytest.mark.parametrize(
    ("feeds", "settings", "message"),
    [
        (FEEDS, {"calibrator": "mse"}, "no calibrator 'mse'; it has minmax, percentile, entropy"),
        (FEEDS, {"qformat": "tflite"}, "no format 'tflite'"),
        (FEEDS, {"activation_type": "int8", "weight_type": "uint8"}, "quantizer failed"),
        ([], {}, "quantizer failed"),
        ([{"z": FEEDS[0]["x"]}], {}, "quantizer failed"),
    ],
)
def test_what_it_cannot_do_is_one_line_and_no_file(
    model: Path, tmp_path: Path, feeds: list[Mapping[str, Any]], settings: dict[str, str], message: str
) -> None:
    with pytest.raises(PeerError, match=message) as caught:
        quantize_with_onnxruntime(model, tmp_path / "int8.onnx", feeds, PeerSettings(**settings))
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["float.onnx"]


def test_an_unreadable_image_is_told_as_itself(model: Path, tmp_path: Path) -> None:
    def feeds() -> Iterator[Mapping[str, Any]]:
        yield FEEDS[0]
        raise DataError("b.png: not an image")

    with pytest.raises(DataError, match=r"b\.png"):
        quantize_with_onnxruntime(model, tmp_path / "int8.onnx", feeds())


def test_a_missing_model_is_not_the_peers_fault(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        quantize_with_onnxruntime(tmp_path / "absent.onnx", tmp_path / "int8.onnx", FEEDS)


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_it_is_silent_and_leaves_only_its_model(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    calibrator: str,
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.chdir(scratch)
    quantize_with_onnxruntime(model, tmp_path / "int8.onnx", FEEDS, PeerSettings(calibrator=calibrator))
    assert capfd.readouterr() == ("", "")
    assert list(scratch.iterdir()) == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["float.onnx", "int8.onnx", "scratch"]


def test_logging_is_as_before(model: Path, tmp_path: Path) -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    quantize_with_onnxruntime(model, tmp_path / "int8.onnx", FEEDS)
    assert root.handlers == before
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root.addHandler(handler)
    try:
        logging.getLogger("quantseg").warning("heard")
    finally:
        root.removeHandler(handler)
    assert stream.getvalue() == "heard\n"
