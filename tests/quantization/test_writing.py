"""What is written of a candidate: its metadata, its format, what is told of it."""

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from quantseg import graph
from quantseg.data.recipe import METADATA_KEY, recipe_from_toml
from quantseg.errors import OutputError, PlanError
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.plan import Fit, NodeCost, Overrides, QuantSettings
from quantseg.quantization.qtypes import INT8
from quantseg.quantization.writing import FLOAT_DIGEST_KEY, written
from tests.support.candidates import of_file


@pytest.fixture(scope="module")
def plain(float_model: Path, images: Path) -> Candidate:
    return of_file(float_model, images)


def test_the_model_carries_recipe_and_origin(plain: Candidate, float_model: Path) -> None:
    proto = onnx.load_from_string(graph.to_bytes(written(plain).model))
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert recipe_from_toml(metadata[METADATA_KEY], source="metadata") == plain.model.recipe
    assert metadata[FLOAT_DIGEST_KEY] == hashlib.sha256(float_model.read_bytes()).hexdigest()


def test_what_is_saved_is_the_model(plain: Candidate, tmp_path: Path) -> None:
    made = written(plain)
    for target in (tmp_path / "a" / "m.onnx", str(tmp_path / "n.onnx")):
        path = made.save(target)
        assert path == Path(target)
        assert path.read_bytes() == graph.to_bytes(made.model)
    with pytest.raises(OutputError):
        made.save(tmp_path)


def test_the_format_is_the_one_that_was_measured_to_be_the_fastest(plain: Candidate) -> None:
    fit = Fit("channels-last", notes=("two nodes cannot be timed alone",))
    fitted = written(replace(plain, overrides=Overrides(fit=fit)), "qoperator")
    assert (written(plain, "qoperator").qformat, fitted.qformat) == ("qoperator", "channels-last")
    assert fitted.fit == fit
    assert fitted.fallbacks == fit.notes
    assert fitted.notes == (*fit.notes, *plain.plan.notes)
    with pytest.raises(PlanError, match="tensorflow"):
        written(plain, "tensorflow")


def test_all_that_was_measured_is_told_beside_the_plan(plain: Candidate) -> None:
    made = written(plain)
    assert (made.fit, made.fallbacks, made.to_json()) == (None, (), plain.plan.to_json())
    first, *_ = plain.plan.weights
    cost = NodeCost(first, 2.0, 1.0, True, "")
    for fit, words in (
        (Fit("qdq", (cost,), True), {"format": "qdq", "placed": "by parts", "costs": [cost.to_json()]}),
        (Fit("qdq", (cost,), notes=("a note",)), {"placed": "by rule", "fallbacks": ["a note"]}),
        (Fit("qdq", notes=("a note",)), {"fallbacks": ["a note"]}),
        (Fit("qdq"), {}),
    ):
        told = written(replace(plain, overrides=Overrides(fit=fit))).to_json()
        assert words.items() <= json.loads(json.dumps(told, allow_nan=False)).items()
        assert plain.plan.to_json().items() <= told.items()
        assert ("costs" in told) == bool(fit.costs)
        assert ("fallbacks" in told) == bool(fit.notes)


def test_it_says_itself_in_a_few_lines(plain: Candidate) -> None:
    first, *_ = plain.plan.weights
    text = str(written(plain.left_float([first], "a reason")))
    count, total = len(plain.plan.quantised), len(plain.plan.nodes)
    assert text.startswith("QuantizedModel, qdq: int8 weights, uint8 activations; judged output ")
    assert f"{count - 2} of {total} nodes in integers" in text
    assert "1 float: a reason" in text
    assert len(text.splitlines()) < 6


def test_signed_activations_in_qdq_are_told(plain: Candidate, caplog: pytest.LogCaptureFixture) -> None:
    settings = QuantSettings(activation=INT8)
    signed = replace(plain, settings=settings, ranges=replace(plain.ranges, qtype=INT8))
    with caplog.at_level(logging.INFO):
        written(signed, "qoperator")
        assert not [record for record in caplog.records if "int8 activations" in record.message]
        written(signed)
    assert [record for record in caplog.records if "int8 activations in QDQ" in record.message]


def test_the_same_candidate_gives_the_same_bytes(plain: Candidate) -> None:
    one, other = (graph.to_bytes(written(replace(plain)).model) for _ in range(2))
    assert one == other
