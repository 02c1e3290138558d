from pathlib import Path

import pytest

from quantseg import contest, pipeline
from quantseg.contest import FLOAT, ONNXRUNTIME, QUANTSEG, Contestant
from quantseg.peers import PeerError


def held(float_model: Path, pictures: Path, folder: Path) -> tuple[Contestant, ...]:
    model = pipeline.read_float_model(float_model)
    images = pipeline.open_data(pictures, model)
    options = pipeline.CalibrationOptions(calibrator="minmax", threads=1)
    return contest.contest(model, images, images, options, folder=folder, rounds=1)


def test_all_three_are_measured_on_the_same_images(float_model: Path, pictures: Path, tmp_path: Path) -> None:
    results = held(float_model, pictures, tmp_path)
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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["onnxruntime.onnx", "quantseg.onnx"]


def test_a_failure_of_the_other_tool_is_a_result(
    float_model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **settings: object) -> None:
        raise PeerError("net.onnx: onnxruntime's quantizer failed (its reason)")

    monkeypatch.setattr(contest, "quantize_with_onnxruntime", fails)
    plain, peer, ours = held(float_model, pictures, tmp_path)
    assert peer.to_json() == {
        "name": ONNXRUNTIME, "evaluation": None, "timing": None, "executed": None,
        "failed": "net.onnx: onnxruntime's quantizer failed (its reason)",
    }  # fmt: skip
    assert plain.timing is not None
    assert ours.timing is not None
