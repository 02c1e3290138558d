"""Evaluation with several inputs: the figures are those of onnxruntime, run by hand on the same inputs."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantseg as qs
from quantseg.graph import to_bytes
from tests.support import graphs, models
from tests.support.several_inputs import (
    Array,
    all_feeds,
    feeds,
    saved,
    tensor_of,
    three_inputs,
    write_images,
    write_npz,
)

pytestmark = pytest.mark.usefixtures("quick")
CONSTANTS = {"prior": 0.5, "scale": 2}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(three_inputs(), tmp_path_factory.mktemp("model") / "m.onnx")


@pytest.fixture(scope="module")
def made(path: Path) -> qs.QuantizedModel:
    return qs.quantize(path, list(all_feeds()), effort="fast", activations="uint8")


def by_hand(made: qs.QuantizedModel, given: list[dict[str, Array]]) -> tuple[float, float]:
    """The share of equal pixels and the SQNR in dB of the first output."""
    real = np.stack([graphs.run(three_inputs(), one)[0] for one in given])
    quantised = np.stack([models.run(to_bytes(made.model), one)[0] for one in given])
    noise = float(np.square(real - quantised, dtype=np.float64).sum())
    equal = float((real.argmax(2) == quantised.argmax(2)).mean())
    return equal, 10 * math.log10(float(np.square(real, dtype=np.float64).sum()) / noise)


def assert_is(found: qs.Evaluation, expected: tuple[float, float]) -> None:
    assert found.pixel_agreement == pytest.approx(expected[0], abs=1e-3)
    assert found.sqnr_db == pytest.approx(expected[1], abs=0.05)
    assert 0.9 < found.pixel_agreement < 1


def test_the_figures_are_those_of_runs_by_hand(path: Path, made: qs.QuantizedModel, tmp_path: Path) -> None:
    given = list(all_feeds(6))
    expected = by_hand(made, given)
    for data in (given, write_npz(tmp_path, 6)):
        assert_is(qs.evaluate(path, made, data), expected)


def test_constants_are_fed_to_both_models(path: Path, made: qs.QuantizedModel, tmp_path: Path) -> None:
    images = write_images(tmp_path)
    fixed = {"prior": np.full_like(feeds(0)["prior"], 0.5), "scale": np.array([2], np.float32)}
    expected = by_hand(made, [{"x": tensor_of(place)} | fixed for place in sorted(images.iterdir())])
    loaded = qs.load(path, inputs=CONSTANTS)
    for model, constants in ((path, CONSTANTS), (loaded, {}), (path, fixed)):
        assert_is(qs.evaluate(model, made, images, inputs=constants), expected)


def test_a_folded_model_is_fed_the_other_inputs_too(path: Path, tmp_path: Path) -> None:
    images = write_images(tmp_path)
    words: dict[str, Any] = {"effort": "fast", "inputs": CONSTANTS}
    folded = qs.quantize(path, images, fold=("preprocess", "argmax"), **words)
    plain = qs.quantize(path, images, **words)
    assert [str(value.name) for value in folded.model.graph.inputs] == ["prior", "pixels", "scale"]
    both = [qs.evaluate(path, one, images, inputs=CONSTANTS) for one in (folded, plain)]
    assert both[0].pixel_agreement == pytest.approx(both[1].pixel_agreement, abs=0.02)
    assert qs.simulate(folded, images, inputs=CONSTANTS, against="onnxruntime").is_exact


@pytest.mark.parametrize("qformat", ["qdq", "qoperator", "channels-last"])
def test_the_simulator_takes_all_inputs(path: Path, qformat: str) -> None:
    made = qs.quantize(path, list(all_feeds()), effort="fast", format=qformat)
    assert qs.simulate(made, list(all_feeds()), against="onnxruntime").is_exact


def test_a_value_is_explained_for_the_inputs_of_an_item(path: Path, made: qs.QuantizedModel, tmp_path: Path) -> None:
    """Of the last convolution before the scale, whose channels are in the float model's order."""
    name = [node.name for node in made.plan.nodes if node.op_type == "Conv"][2]
    found = qs.explain(made, name, data=write_npz(tmp_path), reference=path)
    assert found.float_value == pytest.approx(found.working.real, abs=0.1 * abs(found.working.real))
    assert found.working.real != qs.explain(made, name, inputs=CONSTANTS, at=found.place).working.real


def test_sensitivity_of_several_inputs_adds_up(path: Path) -> None:
    found = qs.sensitivity(path, list(all_feeds(2)), left_float=False, effort="fast")
    made = qs.quantize(path, list(all_feeds(2)), effort="fast")
    assert found.judged.outputs == ("y",)
    assert "judged: output 'y', not 'aux'" in str(found)
    assert found.whole.sqnr_db == pytest.approx(by_hand(made, list(all_feeds(2)))[1], abs=0.5)


@pytest.mark.slow
def test_every_table_as_text_names_the_output(path: Path, made: qs.QuantizedModel) -> None:
    given = list(all_feeds())
    words: dict[str, Any] = {"effort": "fast", "rounds": 1}
    tables = (
        qs.evaluate(path, made, given),
        qs.compare(path, given, **words),
        qs.search(path, given, effort="fast", evaluations=1, max_iou_drop=100.0),
        qs.report(path, given, images=False, **words),
    )
    for one in tables:
        assert "udged: output 'y', not 'aux'" in " ".join(str(one).split())
