"""The whole job, composed once: the same bytes every time, and what judges a model judges those that are written."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quantseg import api, graph
from quantseg.api import stages
from quantseg.calibration.calibrate import Calibrated
from quantseg.data.sources import opener
from quantseg.errors import CalibrationError, DataError, PlanError
from quantseg.evaluation import tool_comparison as tools
from quantseg.mixed_precision.budget.task import SearchGoal
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.folding import Fold
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import INT4, INT8
from quantseg.quantization.writing import FLOAT_DIGEST_KEY, QuantizedModel
from quantseg.refinement.options import Options, Words
from quantseg.runtimes import DEFAULT, within
from tests.support import models
from tests.support.command_line import Command
from tests.support.places import ROOT

FAST = Options(effort="fast", threads=1)


pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def loaded(float_model: Path) -> FloatModel:
    return api.load(float_model)


def quantised(model: Path, images: Path, options: Options = FAST) -> bytes:
    """The bytes of the int8 model, from the file to the end."""
    given = api.calibrate(api.load(model, options=options), images, options=options)
    return graph.to_bytes(made_of(given, options).model)


def made_of(given: Calibrated, options: Options) -> QuantizedModel:
    """What is made of a calibrated model."""
    return api.quantize(given.model, given, options=options)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# From a file to the end.


def test_the_int8_model_gives_nearly_the_float_output(float_model: Path, images: Path, loaded: FloatModel) -> None:
    content = quantised(float_model, images)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    feed = {"x": opener(images)(loaded.recipe, loaded.input).load(0).tensor}
    expected, actual = models.run(float_model.read_bytes(), feed)[0], models.run(content, feed)[0]
    assert np.square(actual - expected).mean() <= np.square(expected).mean() * 10**-2.5


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes(float_model: Path, images: Path) -> None:
    """Twice here, with two workers, and in another process whose sets and dicts hash otherwise."""
    program = (
        "import hashlib, sys; from pathlib import Path; from tests.test_api import quantised; "
        "print(hashlib.sha256(quantised(Path(sys.argv[1]), Path(sys.argv[2]))).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, float_model, images],
        env={**os.environ, "PYTHONHASHSEED": "7"}, cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    engines = ("serial", "serial", "processes:2")
    here = {sha256(quantised(float_model, images, replace(FAST, engine=engine))) for engine in engines}
    assert here == {other}


def test_a_model_in_memory_is_the_one_in_its_file(float_model: Path, images: Path) -> None:
    """As bytes, as a path in words, and loaded already; a ModelProto is written anew, so only its digest differs."""
    found = set()
    for model in (float_model, str(float_model), float_model.read_bytes(), api.load(float_model)):
        given = api.calibrate(api.load(model), images, options=FAST)
        found.add(sha256(graph.to_bytes(made_of(given, FAST).model)))
    assert found == {sha256(quantised(float_model, images))}
    proto = onnx.load(float_model)
    made = made_of(api.calibrate(api.load(proto), images, options=FAST), FAST)
    assert made.model.metadata_props.pop(FLOAT_DIGEST_KEY) == sha256(proto.SerializeToString())
    ours = onnx.load_from_string(quantised(float_model, images))
    del ours.metadata_props[[entry.key for entry in ours.metadata_props].index(FLOAT_DIGEST_KEY)]
    assert onnx.load_from_string(graph.to_bytes(made.model)) == ours


def test_a_model_that_was_loaded_for_another_target_is_prepared_anew(loaded: FloatModel) -> None:
    fused = api.load(loaded, options=Options(target=TargetOptions("openvino")))
    assert fused.prepared.fused
    assert (fused.digest, fused.recipe, fused.input) == (loaded.digest, loaded.recipe, loaded.input)
    assert api.load(loaded) is loaded
    assert api.load(fused, options=Options(target=TargetOptions("openvino"))) is fused
    assert api.load(fused).prepared.fused is None


def test_settings_decide_the_type_that_ranges_are_chosen_for(loaded: FloatModel, images: Path) -> None:
    options = replace(FAST, settings=QuantSettings(activation=INT8, symmetric=True))
    table = api.calibrate(loaded, images, options=options).calibration.table
    assert (table.qtype, table.symmetric) == (INT8, True)


def test_limit_takes_fewer_images(loaded: FloatModel, images: Path) -> None:
    given = api.calibrate(loaded, images, options=replace(FAST, limit=2))
    assert given.calibration.table.images == len(given.calibration.observations.images) == 2


def test_a_calibration_file_has_no_images(loaded: FloatModel, images: Path) -> None:
    """So effort fast is what there is, another one is refused, and ranges are chosen anew for other settings."""
    kept = api.calibrate(loaded, images, options=FAST)
    plain = Options(threads=1)
    again = stages.calibrated(loaded, kept.calibration, plain)
    assert again.images is None
    ours, theirs = (graph.to_bytes(made_of(*one).model) for one in ((again, plain), (kept, FAST)))
    assert ours == theirs
    with pytest.raises(CalibrationError, match="effort=balanced looks at images, a calibration file has none"):
        stages.calibrated(loaded, kept.calibration, Options(effort="balanced"))
    with pytest.raises(CalibrationError, match="target=openvino observes other tensors"):
        stages.calibrated(loaded, kept.calibration, Options(target=TargetOptions("openvino")))
    wanted = replace(FAST, settings=QuantSettings(activation=INT8, symmetric=True))
    made = made_of(stages.calibrated(loaded, kept.calibration, wanted), wanted)
    assert made.candidate.ranges.fits(wanted.settings)
    assert sha256(graph.to_bytes(made.model)) == sha256(
        graph.to_bytes(made_of(api.calibrate(loaded, images, options=wanted), wanted).model)
    )


@pytest.mark.slow
def test_nothing_of_a_step_changes_what_it_was_given(loaded: FloatModel, images: Path) -> None:
    """Every arrow makes a new value: what was there before gives the same bytes after as before."""
    options = replace(FAST, effort="balanced", fold=Fold(argmax=True))
    given = api.calibrate(loaded, images, options=options)
    before = graph.to_bytes(loaded.prepared.model), dict(given.calibration.table.ranges)
    refined = stages.refined(given, options)
    as_refined = graph.to_bytes(refined.prepared.model), refined.ranges, refined.overrides, refined.notes
    folded = stages.folded(refined, options)
    as_folded = graph.to_bytes(folded.prepared.model), folded.ranges, folded.overrides
    first = graph.to_bytes(stages.fitted(folded, options).model)
    assert (graph.to_bytes(loaded.prepared.model), dict(given.calibration.table.ranges)) == before
    assert (graph.to_bytes(refined.prepared.model), refined.ranges, refined.overrides, refined.notes) == as_refined
    assert (graph.to_bytes(folded.prepared.model), folded.ranges, folded.overrides) == as_folded
    assert graph.to_bytes(stages.fitted(folded, options).model) == first
    assert graph.to_bytes(made_of(given, options).model) == first


# What judges a model judges the one that is written.


@pytest.fixture
def judged_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """SHA-256 of every file whose masks are compared with the float model's, by `report` or by `compare`."""
    seen: list[str] = []

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def evaluated(pair: Any, *others: Any) -> Any:
            seen.append(sha256(Path(pair.candidate).read_bytes()))
            return real(pair, *others)

        return evaluated

    for place in ("quantseg.report.building.evaluate_pair", "quantseg.evaluation.tool_comparison.evaluate_pair"):
        module, _, name = place.rpartition(".")
        monkeypatch.setattr(sys.modules[module], name, watched(getattr(sys.modules[module], name)))
    return seen


HOW = {
    "fast": ("--effort", "fast"),
    "balanced": ("--effort", "balanced"),
    "mask out": ("--effort", "fast", "--fold-argmax"),
    "image in": ("--effort", "fast", "--fold-preprocess", "--format", "qoperator"),
    "for OpenVINO": ("--effort", "fast", "--target", "openvino"),
    "other integers": ("--effort", "fast", "--weight-type", "int4", "--symmetric"),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_report_and_compare_judge_the_very_bytes_that_quantize_writes(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, judged_files: list[str], how: str
) -> None:
    words = ("--data", images, "--threads", 1, *HOW[how])
    done = quantseg("quantize", float_model, *words, "-o", tmp_path / "m.onnx")
    assert done.code == 0, done.err
    written = sha256((tmp_path / "m.onnx").read_bytes())
    assert not judged_files

    done = quantseg("report", float_model, *words, "--rounds", 1, "--output", tmp_path / "r")
    assert done.code == 0, done.err
    assert judged_files == [written]

    judged_files.clear()
    done = quantseg("compare", float_model, *words, "--rounds", 1)
    assert done.code == 0, done.err
    first, *others = judged_files
    assert first == sha256(float_model.read_bytes())
    assert others.count(written) == 1


@pytest.mark.slow
@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_the_report_is_of_the_file_that_it_leaves(
    loaded: FloatModel, images: Path, tmp_path: Path, effort: str
) -> None:
    options = replace(FAST, effort=effort)
    given = api.calibrate(loaded, images, options=options)
    target = tmp_path / "m.onnx"
    found = api.report(loaded, images, calib=given, options=options, rounds=1, int8_model=target)
    assert found.int8_model.sha256 == sha256(target.read_bytes())
    assert target.read_bytes() == graph.to_bytes(made_of(given, options).model)
    assert found.float_model.sha256 == loaded.digest


@pytest.mark.slow
def test_a_model_in_memory_is_reported_and_compared_as_its_file_is(float_model: Path, images: Path) -> None:
    found = []
    for model in (float_model, float_model.read_bytes()):
        given = api.calibrate(api.load(model), images, options=FAST)
        report = api.report(model, images, calib=given, options=FAST, rounds=1, images=False, peer=True)
        rows = api.compare(model, images, calib=given, options=FAST, rounds=1)
        (peer,) = report.peers
        seen = report.evaluation, peer.evaluation, *(row.evaluation for row in rows)
        found.append((report.int8_model.sha256, seen))
    assert found[0] == found[1]


def test_comparing_needs_images_to_calibrate_the_others_on(loaded: FloatModel, images: Path) -> None:
    kept = api.calibrate(loaded, images, options=FAST).calibration
    with pytest.raises(DataError, match="other quantizers calibrate on images; give data, no calibration file"):
        api.compare(loaded, images, calib=kept, options=FAST)


@pytest.mark.slow
def test_several_formats_are_compared_of_one_candidate(
    loaded: FloatModel, images: Path, judged_files: list[str]
) -> None:
    given = api.calibrate(loaded, images, options=FAST)
    qformats = ("qdq", "qoperator", "channels-last")
    rows = api.compare(loaded, images, calib=given, options=FAST, rounds=1, formats=qformats)
    assert [row.name for row in rows[2:]] == [f"{tools.QUANTSEG} {tools.format_name(name)}" for name in qformats]
    for qformat, digest in zip(qformats, judged_files[2:], strict=True):
        assert digest == sha256(quantised(Path(str(loaded.source)), images, replace(FAST, qformat=qformat)))


# The command line: every command that makes a model takes the same options.


def test_compare_takes_folds(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    words = ("--data", images, "--effort", "fast", "--rounds", 1, "--fold-preprocess", "--fold-argmax")
    done = quantseg("compare", float_model, *words, "--json", tmp_path / "all.json")
    assert done.code == 0, done.err
    rows = {row["name"]: row for row in json.loads((tmp_path / "all.json").read_text())["compared"]}
    ours, peer = rows[tools.QUANTSEG]["evaluation"], rows[tools.ONNXRUNTIME]["evaluation"]
    assert ours["agreement"] > 0.9
    assert ours["sqnr_db"] is None  # class ids have none
    assert peer["sqnr_db"] is not None


@pytest.mark.slow
def test_report_takes_folds_and_targets(quantseg: Command, images: Path, float_model: Path, tmp_path: Path) -> None:
    words = ("--data", images, "--effort", "fast", "--rounds", 1, "--output", tmp_path)
    for name, more in {"in": ("--fold-preprocess",), "ov": ("--target", "openvino")}.items():
        done = quantseg("report", float_model, *words, "--name", name, *more)
        assert done.code == 0, done.err
        assert f"\n{name}: The int8 model is " in done.out


def test_search_takes_formats(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    words = ("--data", images, "--calib", images, "--effort", "fast", "--evaluations", 1, "--max-iou-drop", 100)
    done = quantseg("search", float_model, *words, "--format", "qoperator", "-o", tmp_path / "m.onnx")
    assert done.code == 0, done.err
    types = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert types.count("QLinearConv") > 3
    assert "DequantizeLinear" not in types[:-1]


# Options.


def test_options_say_in_words_what_they_are() -> None:
    words: Words = {
        "calibrator": "percentile:99.9", "effort": "fast", "target": "ort-cpu", "weights": "int4", "fold": ("argmax",),
        "exclude": ["Resize"], "limit": 3, "engine": "processes:2", "threads": 2, "seed": 5,
    }  # fmt: skip
    expected = Options(
        "percentile", 99.9, QuantSettings(weight=INT4, exclude=("Resize",)), "fast", 1.0, TargetOptions("ort-cpu"),
        None, Fold(argmax=True), 3, "processes:2", 2, 5,
    )  # fmt: skip
    assert Options.of(words) == expected
    assert Options.of({}) == Options()
    assert Options.of({"timeout": None, "follow_links": True}) == Options(timeout=None, follow_links=True)
    assert Options.of({"calibrator": "mse", "format": "qoperator"}) == Options("mse", qformat="qoperator")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"efort": "fast"}, "efort= is no option; choose of activations, budget, cache, calibrator"),
        ({"effort": "more"}, "'more' is no effort"),
        ({"weights": "int3"}, "weights='int3' is no integer type; choose int8, uint8 or int4"),
        ({"activations": "float"}, "activations='float' is no integer type"),
        ({"fold": ["argmin"]}, "fold='argmin' is nothing to fold"),
        ({"target": "gpu"}, "'gpu' is no target"),
        ({"format": "tflite"}, "tflite"),
        ({"calibrator": "percentile:most"}, "calibrator=percentile:most has no number; give percentile:99.9"),
        ({"target": "ort-cpu", "format": "qdq"}, "contradicts it"),
        ({"timeout": -1}, "timeout=-1: give seconds, or 0 for no limit"),
        ({"timeout": float("nan")}, "timeout=nan: give seconds"),
    ],
)
def test_words_that_mean_nothing_are_refused_by_their_parameter(words: Words, message: str) -> None:
    with pytest.raises((PlanError, CalibrationError), match=message) as error:
        Options.of(words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("given", "held"), [(None, None), (0, None), (2.5, 2.5)])
def test_the_time_limit_reaches_the_runtime(given: float | None, held: float | None) -> None:
    assert Options(timeout=given).context().runtime == within(DEFAULT, held)
    assert Options().context().runtime == DEFAULT


def test_a_search_is_not_begun_that_could_not_judge_what_it_writes(loaded: FloatModel, images: Path) -> None:
    options = replace(FAST, target=TargetOptions("ort-cpu"))
    with pytest.raises(PlanError, match="target=ort-cpu takes an evaluation for the model that is written"):
        stages.search_task(loaded, images, SearchGoal(evaluations=1), options)


def test_a_search_finds_a_model_within_the_budget(loaded: FloatModel, images: Path) -> None:
    task = stages.search_task(loaded, images, SearchGoal(max_iou_drop=50.0, evaluations=3), FAST, calib=images)
    assert [len(task.calibrating.names), len(task.judged.names)] == [3, 3]
    found = stages.searched(task, FAST)
    assert found.is_met
    given = api.calibrate(loaded, images, options=FAST)
    assert found.model is not None
    assert found.model.model.metadata_props.pop("quantseg.command") == "search"
    everywhere = stages.fitted(stages.refined(given, FAST, leave_float=False), FAST)
    assert graph.to_bytes(found.model.model) == graph.to_bytes(everywhere.model)


@pytest.mark.slow
def test_sensitivity_is_of_the_calibrated_ranges_without_an_effort_and_of_the_refined_with_one(
    loaded: FloatModel, images: Path
) -> None:
    options = Options(threads=1)
    given = api.calibrate(loaded, images, options=options)
    data = opener(images)(loaded.recipe, loaded.input)
    plain = api.sensitivity(loaded, data, calib=given, options=options, left_float=False)
    assert {node.node for node in plain.nodes} <= {str(node.name) for node in loaded.prepared.model.graph}
    more = replace(options, effort="balanced")
    refined = api.sensitivity(loaded, data, calib=given, options=more, left_float=False)
    assert plain.images == refined.images == 3
    assert plain.whole != refined.whole
