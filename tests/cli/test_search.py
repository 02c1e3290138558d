"""quantseg search from end to end on a small network, and what it refuses."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from PIL import Image

from quantseg import api
from quantseg.data.sources import opener
from quantseg.errors import DataError
from quantseg.mixed_precision.budget import Budget, moves, weighing
from quantseg.mixed_precision.budget.judging import EvaluationImages
from quantseg.mixed_precision.budget.search import Found, Weighing, halves, search
from quantseg.mixed_precision.budget.weighing import by_macs, in_int8, work_shares
from quantseg.mixed_precision.targets import input_shapes
from quantseg.quantization.affine import Range
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.writing import written
from quantseg.runtimes.onnxruntime_cpu import OnnxRuntimeCpu
from tests.support.candidates import context, of_file
from tests.support.command_line import ROOT, Command, Outcome
from tests.support.fake_runtime import FAST_INTEGERS, Fake

CELLS = ROOT / "reference_models/weights/cells_unet.onnx"


@pytest.fixture
def plain(float_model: Path, images: Path) -> Candidate:
    return of_file(float_model, images)


def found(plain: Candidate, data: Path, budget: Budget, evaluations: int = 8, *, labelled: bool = False) -> Found:
    """A search whose harms are made up: each node harms as much as its place in the graph tells."""
    shares = work_shares(plain.prepared, input_shapes(plain.model))
    nodes = [str(node.name) for node in plain.prepared.model.graph]
    harm = {name: float(place + 1) for place, name in enumerate(nodes)}
    images = opener(data, masks=labelled)(plain.model.recipe, plain.model.input)
    weighed = Weighing(by_macs(shares), shares, lambda: harm)
    return search(plain, EvaluationImages(images, budget, labelled), weighed, context(), evaluations=evaluations)


def errors(outcome: Outcome) -> list[str]:
    """What the command says beside its notes."""
    return [line for line in outcome.err.splitlines() if not line.startswith("note: ")]


def copied(images: Path, folder: Path, **changed: Any) -> Path:
    """The images with all masks made of `fill`, or of another size."""
    shutil.copytree(images, folder)
    for mask in sorted((folder / "masks").iterdir()):
        size = changed.get("size", 32)
        Image.fromarray(np.full((size, size), changed.get("fill", 0), np.uint8)).save(mask)
    return folder


def test_a_loose_budget_is_held_by_all_int8(plain: Candidate, images: Path) -> None:
    done = found(plain, images, Budget(50.0))
    assert done.is_met
    assert [point.float_nodes for point in done.walk.points] == [frozenset()]
    assert done.candidate.overrides.kept_float == {}
    assert done.walk.best.int8_share == pytest.approx(1.0)


def test_a_tight_budget_leaves_nodes_float_and_their_model_is_as_good_as_was_judged(
    plain: Candidate, images: Path
) -> None:
    loose = found(plain, images, Budget(50.0)).walk.best
    done = found(plain, images, Budget(loose.drop / 2), 12)
    best = done.walk.best
    assert done.is_met
    assert best.drop <= loose.drop / 2
    assert 0 < best.int8_share < 1
    kept = done.candidate.overrides.kept_float
    assert {*kept} == best.float_nodes
    assert all("the search left it float: with all in int8" in why for why in kept.values())
    made = written(done.candidate)
    assert not any(made.plan.is_quantised(name) for name in best.float_nodes)
    shares = work_shares(plain.prepared, input_shapes(plain.model))
    assert in_int8(made.plan, shares) == best.int8_share


def test_the_same_search_finds_the_same(plain: Candidate, images: Path) -> None:
    first, second = (found(plain, images, Budget(0.5)).to_json() for _ in range(2))
    assert first == second
    assert first["precisions"] == ["int8", "float"]


def test_without_labels_the_loss_is_what_is_missing_to_agreement(plain: Candidate, images: Path) -> None:
    (point,) = found(plain, images, Budget(50.0)).walk.points
    assert point.drop == pytest.approx(100 * (1 - point.agreement))
    assert np.mean(list(point.class_drops.values())) == pytest.approx(point.drop)


def test_a_move_spares_a_tensor_by_the_nodes_at_both_its_ends(plain: Candidate) -> None:
    """In the U-Net the first skip is read by the pooling and by the Concat, which hand it on to convolutions."""
    graph = plain.prepared.model.graph
    every = moves(plain.prepared.model, plain.plan, {str(node.name): 1.0 for node in graph})
    pooled = next(node for node in graph if node.op_type == "MaxPool")
    skip = pooled.inputs[0]
    assert skip is not None
    (move,) = (move for move in every if move.sake == skip.name and len(move.nodes) > 1)
    kinds = sorted(node.op_type for node in graph if node.name in move.nodes)
    assert kinds == ["Concat", "Conv", "Conv", "Conv", "MaxPool", "Relu"]


def test_measured_harms_tell_a_broken_node_from_the_others(plain: Candidate, images: Path) -> None:
    """A range a hundred times too wide: the node that writes the tensor, and those that read it, do most harm."""
    graph = plain.prepared.model.graph
    wide = str(next(node for node in graph if node.op_type == "Relu").outputs[0].name)
    ranges = dict(plain.ranges.ranges)
    ranges[wide] = Range(0.0, 100 * ranges[wide].maximum)
    broken = replace(plain, ranges=replace(plain.ranges, ranges=ranges))
    images = opener(images)(plain.model.recipe, plain.model.input)
    harm = weighing.noise_of_nodes(broken, context(images))
    ends = {str(user.name) for node in graph for out in node.outputs if out.name == wide for user, _ in out.uses()}
    assert max(harm, key=lambda name: harm[name]) in ends | {str(graph[0].name)}
    assert harm == weighing.noise_of_nodes(broken, context(images, threads=2))


def test_every_other_image_is_calibrated_on_and_the_others_are_judged(images: Path, float_model: Path) -> None:
    model = api.load(float_model)
    calibrated, judged = halves(opener(images)(model.recipe, model.input))
    assert calibrated.names == ("0.png", "2.png")
    assert judged.names == ("1.png",)
    with pytest.raises(DataError, match="one image cannot be calibrated on and be judged"):
        halves(opener(images, limit=1)(model.recipe, model.input))


@pytest.mark.slow
def test_the_command_writes_a_model_a_table_a_figure_and_json(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    words = ["search", float_model, "--data", images, "--calib", images, "--threads", 1, "--max-iou-drop", 3]
    paths = {name: tmp_path / name for name in ("a.onnx", "a.json", "a.svg", "b.onnx")}
    outcome = quantseg(*words, "-o", paths["a.onnx"], "--json", paths["a.json"], "--figure", paths["a.svg"])
    assert outcome.code == 0, outcome.err
    assert "3 images to calibrate on, 3 to judge on, against the float model's masks" in outcome.out
    assert (
        "\neach node in int8 or float; onnxruntime has no convolution with uint16 or int16 activations\n" in outcome.out
    )
    assert "note: 3 of them are calibrated on and judged as well" in outcome.out
    assert re.search(r"^at most 12 evaluations of 3 images, about \d+ s each$", outcome.out, re.MULTILINE)
    assert max(len(line) for line in outcome.out.splitlines() if not line.startswith(("wrote", "note"))) <= 100
    written = json.loads(paths["a.json"].read_text())
    assert written["is_met"]
    assert 0 < written["chosen"]["iou_drop"] <= 3
    assert written["evaluations"]["made"] == len(written["points"]) <= 12
    assert written["chosen"] | {"is_pareto": True} in written["points"]
    onnx.checker.check_model(onnx.load(paths["a.onnx"]), full_check=True)
    assert "chosen" in ElementTree.fromstring(paths["a.svg"].read_text()).get("aria-label", "")
    again = quantseg(*words, "-o", paths["b.onnx"])
    assert again.code == 0
    assert paths["b.onnx"].read_bytes() == paths["a.onnx"].read_bytes()


def test_a_budget_that_cannot_be_met_is_said_and_the_best_is_written(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    target = tmp_path / "best.onnx"
    words = ["--max-iou-drop", 0, "--evaluations", 2, "--threads", 1, "-o", target]
    outcome = quantseg("search", float_model, "--data", images, "--effort", "fast", *words)
    assert outcome.code == 3
    (error,) = errors(outcome)
    assert re.fullmatch(
        rf"error: no model within the budget in 2 evaluations: the best, {re.escape(str(target))}, loses [\d.]+ points "
        r"of mIoU, 0 are allowed; allow more, or give more --evaluations",
        error,
    )
    assert "2 images to calibrate on, 1 to judge on" in outcome.out
    assert "as well" not in outcome.out
    onnx.checker.check_model(onnx.load(target), full_check=True)


def test_labels_and_a_class_of_its_own(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    words = ["--data", images, "--labels", "--classes", "sky,road,Car", "--max-class-drop", "car=30", "--threads", 1]
    words += ["--max-iou-drop", 30, "--figure", tmp_path / "f.svg"]
    outcome = quantseg("search", float_model, *words, "--effort", "fast", "-o", tmp_path / "m.onnx")
    assert outcome.code == 0, outcome.err
    assert "points over the tightest budget" in (tmp_path / "f.svg").read_text()
    assert "against their labels" in outcome.out
    assert re.search(r"mIoU lost +Car", outcome.out)


@pytest.mark.parametrize(("words", "message"), [
    (["--max-class-drop", "boat=1"], "no class 'boat'; its classes are class 0, class 1, class 2"),
    (["--max-class-drop", "boat"], "give CLASS=POINTS"),
    (["--max-iou-drop", "-1"], "give points of IoU, 0 or more"),
    (["--limit", "1", "--calib", "nowhere"], "nowhere"),
    (["--target", "gpu"], "'gpu' is no target"),
    (["--target", "ort-cpu", "--evaluations", "1"], "give --evaluations 2"),
])  # fmt: skip
def test_what_cannot_be_asked_for_is_one_line(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    outcome = quantseg("search", float_model, "--data", images, "--effort", "fast", "-o", tmp_path / "m.onnx", *words)
    (error,) = errors(outcome)
    assert outcome.code == 2
    assert message in error
    assert not list(tmp_path.iterdir())


def test_data_that_cannot_be_judged_on_is_one_line(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    bare, single = tmp_path / "bare", tmp_path / "single"
    shutil.copytree(images / "images", bare)
    single.mkdir()
    shutil.copy(images / "images/0.png", single)
    small = copied(images, tmp_path / "small", size=16)
    void = copied(images, tmp_path / "void", fill=255)
    same = copied(images, tmp_path / "same", fill=1)
    for words, message in (
        ([bare, "--labels"], "no masks beside the images"),
        ([single], "one image cannot be calibrated on and be judged"),
        ([small, "--labels"], "16"),
        ([void, "--labels", "--ignore-index", 255], "no pixel of the masks counts"),
        ([same, "--labels", "--max-class-drop", "0=1"], "class 'class 0' is in none of the 1 judged masks"),
    ):
        outcome = quantseg(
            "search", float_model, "-o", tmp_path / "m.onnx", "--threads", 1, "--effort", "fast", "--data", *words
        )
        assert outcome.code == 2, outcome.out
        (error,) = errors(outcome)
        assert message in error
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.slow
def test_where_parts_are_timed_the_written_model_is_judged_once_more(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels take made-up times. A model all in int8 takes least, and what is held float costs time."""
    monkeypatch.setenv("QUANTSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        OnnxRuntimeCpu, "executed", lambda _, *given, **named: Fake(FAST_INTEGERS).executed(*given, **named)
    )
    words = ["--data", images, "--calib", images, "--target", "ort-cpu", "--threads", 1, "--max-iou-drop", 1]
    outcome = quantseg(
        "search", float_model, *words, "--effort", "fast", "-o", tmp_path / "m.onnx", "--json", tmp_path / "m.json"
    )
    assert outcome.code in (0, 3), outcome.err
    written = json.loads((tmp_path / "m.json").read_text())
    costs = {tuple(point["float_nodes"]): point["cost"] for point in written["points"]}
    assert all(costs[()] <= cost for cost in costs.values())
    assert written["cost"] == weighing.TIME
    assert written["evaluations"]["made"] == len(written["points"]) + 1 <= written["evaluations"]["at_most"] == 12
    assert written["is_met"] == (written["written"]["iou_drop"] <= 1) == (outcome.code == 0)
    assert (tmp_path / "m.onnx").exists()
