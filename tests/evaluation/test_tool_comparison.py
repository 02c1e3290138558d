import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
import pytest

from quantseg import api
from quantseg.errors import MissingExtraError
from quantseg.evaluation import peer_models
from quantseg.evaluation import tool_comparison as tools
from quantseg.evaluation.peers import PeerError
from quantseg.evaluation.tool_comparison import FLOAT, NNCF, ONNXRUNTIME, QUANTSEG, ComparedModel
from quantseg.refinement.options import Options
from tests.support import models

needs_openvino = pytest.mark.skipif(
    find_spec("nncf") is None or find_spec("openvino") is None, reason="nncf or openvino is not installed: an extra"
)


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring it takes a process for each model; tests/runtimes/test_memory.py looks after it."""
    monkeypatch.setattr("quantseg.runtimes.latency.peak_memory", lambda *arguments, **settings: None)


def held(float_model: Path, images: Path, **more: Any) -> tuple[ComparedModel, ...]:
    """The comparison that `compare` makes, one round of timing."""
    options = Options(calibrator="minmax", effort="fast", threads=1)
    given = api.calibrate(api.load(float_model), images, options=options)
    return api.compare(float_model, images, calib=given, options=options, rounds=1, **more)


@pytest.fixture
def emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go; nothing of them is left."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield tmp_path / "temporary"
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.usefixtures("emptied")
def test_all_three_are_measured_on_the_same_images(float_model: Path, images: Path) -> None:
    results = held(float_model, images)
    assert [result.name for result in results] == [FLOAT, ONNXRUNTIME, QUANTSEG]
    for result in results:
        assert result.failed is None
        assert result.evaluation is not None
        assert result.timing is not None
        assert result.executed is not None
        assert result.evaluation.images == 3
    plain, peer, ours = results
    assert plain.evaluation is not None
    assert (plain.evaluation.agreement, plain.evaluation.sqnr_db) == (1.0, float("inf"))
    assert plain.executed is not None
    assert peer.executed is not None
    assert ours.executed is not None
    assert plain.executed.kinds["int8"].nodes == 0
    assert peer.executed.float_conv_transposes == 2
    assert ours.executed.float_conv_transposes == 0


def test_a_failure_of_the_other_tool_is_a_result(
    float_model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **settings: object) -> None:
        raise PeerError("net.onnx: onnxruntime's quantizer failed (its reason)")

    monkeypatch.setattr(peer_models, "quantize_with_onnxruntime", fails)
    plain, peer, ours = held(float_model, images)
    assert peer.to_json() == {
        "name": ONNXRUNTIME, "runtime": "onnxruntime", "evaluation": None, "timing": None, "executed": None,
        "failed": "net.onnx: onnxruntime's quantizer failed (its reason)",
        "integer_sums": None,
    }  # fmt: skip
    assert plain.timing is not None
    assert ours.timing is not None


def test_several_formats_are_named(float_model: Path, images: Path) -> None:
    results = held(float_model, images, formats=("qdq", "qoperator"))
    assert [result.name for result in results] == [FLOAT, ONNXRUNTIME, "quantseg QDQ", "quantseg QOperator"]
    assert [result.timing.name for result in results if result.timing] == [result.name for result in results]


@needs_openvino
def test_openvino_stands_beside_onnxruntime(float_model: Path, images: Path) -> None:
    results = held(float_model, images, openvino=True)
    assert [(result.name, result.runtime) for result in results] == [
        (FLOAT, "onnxruntime"),
        (ONNXRUNTIME, "onnxruntime"),
        (QUANTSEG, "onnxruntime"),
        (FLOAT, "openvino"),
        (QUANTSEG, "openvino"),
        (NNCF, "openvino"),
    ]
    for result in results:
        assert result.failed is None
        assert result.evaluation is not None
        assert result.evaluation.agreement > 0.7
        assert result.timing is not None
        assert result.timing.ratio > 0
        assert result.executed is not None
    evaluations = {(result.name, result.runtime): result.evaluation for result in results}
    assert evaluations[FLOAT, "openvino"].sqnr_db > 90  # beside onnxruntime's float, in float32
    executed = {(result.name, result.runtime): result.executed for result in results}
    assert executed[NNCF, "openvino"].kinds["int8"].nodes > 0


@needs_openvino
def test_in_openvino_our_model_is_the_qdq_one(float_model: Path, images: Path) -> None:
    results = held(float_model, images, formats=("qoperator",), openvino=True)
    assert [(result.name, result.runtime) for result in results if result.name.startswith(QUANTSEG)] == [
        ("quantseg QOperator", "onnxruntime"),
        ("quantseg QDQ", "openvino"),
    ]


@needs_openvino
def test_what_openvino_cannot_read_is_a_row(images: Path, tmp_path: Path) -> None:
    """MaxUnpool stays in our model as it is, in float; OpenVINO and NNCF have nothing for it."""
    model = models.text("""
    <ir_version: 8, opset_import: ["": 13]>
    g (float[1, 3, 32, 32] x) => (float[1, 3, 32, 32] y)
    <float[3, 3, 1, 1] w = {1, -2, 3, -4, 5, -6, 7, -8, 9}> {
      a = Conv(x, w)
      c = Conv(a, w)
      small, places = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
      y = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (small, places)
    }
    """)
    onnx.save(model, tmp_path / "unpooling.onnx")
    results = held(tmp_path / "unpooling.onnx", images, openvino=True)
    failed = {(result.name, result.runtime): result.failed for result in results if result.failed}
    assert set(failed) == {(FLOAT, "openvino"), (QUANTSEG, "openvino"), (NNCF, "openvino")}
    for reason in failed.values():
        assert "MaxUnpool" in reason
        assert str(tmp_path) not in reason
        assert len(reason.splitlines()) == 1


@pytest.mark.parametrize("package", ["openvino", "nncf"])
def test_a_missing_extra_is_told_before_any_work(
    float_model: Path, images: Path, emptied: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(tools, "peer_model", lambda *_: pytest.fail("onnxruntime's quantizer was asked"))
    with pytest.raises(MissingExtraError, match=r'pip install "quantseg\[openvino\]"'):
        held(float_model, images, openvino=True)
    assert list(emptied.iterdir()) == []
