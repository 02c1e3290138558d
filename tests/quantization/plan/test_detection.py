"""Detection logic stays float with its reason, and boxes, scores and coefficients share no grid."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quantseg import graph
from quantseg.calibration.calibrate import calibrate
from quantseg.calibration.choosing import Choice
from quantseg.calibration.context import Context
from quantseg.errors import CalibrationError
from quantseg.evaluation.reference_models import reference_models
from quantseg.graph.detection import detector_of
from quantseg.graph.preparation import Prepared, prepare
from quantseg.mixed_precision.feeds import run_once
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.operators import IntegerForm, KeptFloat
from quantseg.quantization.plan import NO_OVERRIDES, Overrides, QuantSettings, observable
from quantseg.quantization.plan.decisions import decide
from quantseg.quantization.plan.detection import CHOOSES, DECODES, JOINS, READS_BOXES, UNLIKE, kept_by_detection
from quantseg.quantization.plan.grids import form_grids
from tests.support.candidates import Tensors, float_model
from tests.support.detectors import mask_rcnn, query_masks, yolo_of_anchors, yolo_seg

MAKERS: dict[str, Callable[[], onnx.ModelProto]] = {
    "raw": yolo_seg,
    "top": lambda: yolo_seg(ends="top"),
    "nms": lambda: yolo_seg(ends="nms"),
    "anchors": yolo_of_anchors,
    "table": lambda: yolo_of_anchors(parted=False),
    "mask_rcnn": mask_rcnn,
    "queries": query_masks,
}


def prepared(model: onnx.ModelProto) -> Prepared:
    read = ir.serde.deserialize_model(model)
    specs, _ = graph.signature(read)
    return prepare(read, run=lambda part, names: run_once(part, specs, names))


def images(*, empty: int = 1, count: int = 3) -> Tensors:
    """Noise, and images of nothing, in which these models detect nothing."""
    rng = np.random.default_rng(0)
    seen = [rng.normal(size=(1, 3, 64, 64)).astype(np.float32) for _ in range(count)]
    return Tensors((*seen, *(np.zeros((1, 3, 64, 64), np.float32) for _ in range(empty))))


def candidate(model: FloatModel, data: Tensors) -> Candidate:
    table = calibrate(model, Choice(), Context(data, threads=1)).table
    return Candidate.of(model, table, QuantSettings())


def reasons(model: onnx.ModelProto, overrides: Overrides = NO_OVERRIDES) -> dict[str, str]:
    decisions = decide(prepared(model), QuantSettings(), overrides)
    return {str(node.name): form.reason for node, form in decisions.items() if isinstance(form, KeptFloat)}


def test_of_a_yolo_all_behind_the_last_convolutions_is_one_float_region() -> None:
    made = prepared(yolo_seg())
    decisions = decide(made, QuantSettings(), NO_OVERRIDES)
    kept = [node for node, form in decisions.items() if isinstance(form, KeptFloat)]
    integer = [node for node, form in decisions.items() if isinstance(form, IntegerForm)]
    told = {str(node.name): form.reason for node, form in decisions.items() if isinstance(form, KeptFloat)}
    assert {told[name] for name in ("dfl", "class_scores", "decoded")} == {DECODES}
    assert {told[name] for name in ("mixed0", "levels", "joined", "table", "coefficients")} == {f"Concat: {JOINS}"}
    assert set(told.values()) == {DECODES, f"Concat: {JOINS}"}
    users = {user for node in kept for output in node.outputs for user in output.consumers()}
    assert not users & set(integer), "no integers behind the float region"
    assert all(isinstance(decisions[n], IntegerForm) for n in decisions if n.op_type == "Conv" and n.name != "dfl")


def test_of_a_mask_rcnn_the_heads_behind_regions_are_integers() -> None:
    told = reasons(mask_rcnn())
    for op_type, name in {
        "NonMaxSuppression": "rpn_nms",
        "TopK": "best_proposals",
        "ScatterND": "boxes_placed0",
    }.items():
        assert told[name] == f"{op_type}: {CHOOSES}"
    assert told["masks_align1"] == told["boxes_align0"] == f"RoiAlign: {READS_BOXES}"
    assert told["all_objectness"] == told["all_deltas"] == f"Concat: {JOINS}"
    assert told["mask_scores"] == DECODES
    heads = {
        "fc1",
        "fc2",
        "class_logits",
        "box_deltas",
        "mask_conv",
        "mask_wider",
        "mask_logits",
        "rpn0",
        "objectness1",
    }
    assert not heads & told.keys()


@pytest.mark.parametrize("name", MAKERS)
def test_no_grid_is_shared_by_outputs_of_two_last_products(name: str) -> None:
    model = float_model(prepared(MAKERS[name]()))
    made = candidate(model, images())
    decisions = decide(model.prepared, QuantSettings(), NO_OVERRIDES)
    grids = form_grids(model.prepared.model.graph, decisions, made.ranges.ranges)
    detector = detector_of(model.prepared.model.graph)
    assert detector is not None
    assert all(isinstance(decisions[node], IntegerForm) for node in detector.last)
    roots = [grids.root(str(node.outputs[0].name)) for node in detector.last]
    assert len(roots) > 1
    assert len(set(roots)) == len(roots)
    joins = [n for n, form in decisions.items() if n.op_type == "Concat" and isinstance(form, IntegerForm)]
    assert {str(node.name) for node in joins} <= {"neck"}


def test_measurements_cannot_turn_detection_logic_into_integers() -> None:
    everything = frozenset(str(node.name) for node in prepared(yolo_seg()).model.graph)
    assert {"dfl", "mixed0", "levels", "joined"} <= reasons(yolo_seg(), Overrides(integer=everything)).keys()


def test_channels_that_cannot_be_parted_stay_float() -> None:
    model = yolo_of_anchors()
    made = prepare(ir.serde.deserialize_model(model), without=frozenset({"part_unlike_channels"}))
    kept = {str(node.name): reason for node, reason in kept_by_detection(made.model.graph).items()}
    assert kept["detect0"] == "Conv: " + UNLIKE.format(kinds="boxes, coefficients, scores")
    assert "detect0_boxes" not in reasons(model)


@pytest.mark.parametrize("name", sorted(reference_models()))
def test_models_of_masks_have_no_such_node(name: str) -> None:
    made = prepare(graph.load(reference_models()[name]))
    assert kept_by_detection(made.model.graph) == {}
    assert not any(change.rewrite == "part_unlike_channels" for change in made.changes)


def test_tensors_of_detection_logic_are_not_observed() -> None:
    made = prepared(yolo_seg())
    names = set(observable(made.model.graph))
    assert {"box0", "score1", "coefficient0"} <= names
    assert not names & {"mixed0", "levels", "dfl", "decoded", "table", "class_scores"}


def test_images_without_an_instance_calibrate(tmp_path: Path) -> None:
    model = float_model(prepared(mask_rcnn()))
    context = Context(images(), threads=1)
    whole = calibrate(model, Choice(), context)
    alone = calibrate(model, Choice(), Context(images(empty=0), threads=1))
    heads = ("class_logits", "box_deltas", "mask_logits")
    assert [whole.table.ranges[name] for name in heads] == [alone.table.ranges[name] for name in heads]
    assert whole.observations.unseen == frozenset()
    read = whole.read(whole.save(tmp_path / "calibration.json"))
    assert read.observations.histograms == whole.observations.histograms


def test_only_images_without_an_instance_are_told_in_one_line(tmp_path: Path) -> None:
    model = float_model(prepared(mask_rcnn()))
    made = calibrate(model, Choice(), Context(images(empty=2, count=0), threads=1))
    assert "mask_logits" in made.observations.unseen
    read = made.read(made.save(tmp_path / "calibration.json"))
    assert read.observations.unseen == made.observations.unseen
    assert read.table == made.table
    with pytest.raises(CalibrationError, match="had no element on any image"):
        _ = Candidate.of(model, made.table, QuantSettings()).plan
