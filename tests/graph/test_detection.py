"""Which graphs detect, which parts they have, and which of a convolution's channels are boxes, scores, coefficients."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quantseg.evaluation.reference_models import INSTANCE_MODELS, reference_models
from quantseg.graph import infer_shapes, load
from quantseg.graph.channel_kinds import channel_kinds
from quantseg.graph.detection import COUNTING, Detector, behind, detector_of, detects
from quantseg.graph.preparation import prepare
from tests.support.detectors import mask_rcnn, query_masks, yolo_of_anchors, yolo_seg
from tests.support.graphs import graph, noise


def parts(model: onnx.ModelProto) -> tuple[ir.Model, Detector]:
    made = prepare(ir.serde.deserialize_model(model)).model
    found = detector_of(made.graph)
    assert found is not None
    return made, found


def named(nodes: frozenset[ir.Node], *op_types: str) -> set[str]:
    return {str(node.name) for node in nodes if not op_types or node.op_type in op_types}


@pytest.mark.parametrize("ends", ["raw", "top", "nms"])
def test_of_a_yolo_the_last_products_are_those_of_boxes_scores_coefficients_and_prototypes(ends: str) -> None:
    _, found = parts(yolo_seg(ends=ends))
    branches = {f"{kind}{level}" for kind in ("box", "score", "coefficient") for level in (0, 1)}
    assert named(found.last) == branches | {"prototypes"}
    decoding = {"dfl", "corners", "masks_of_chosen"} if ends == "nms" else {"dfl"}
    assert named(found.logic, "Conv", "MatMul") == decoding
    assert not found.logic & found.learned


def test_of_a_mask_rcnn_they_are_those_of_both_box_stages_and_of_the_masks() -> None:
    made, found = parts(mask_rcnn())
    last = {f"{kind}{level}" for kind in ("objectness", "rpn_deltas") for level in (0, 1)}
    assert named(found.last) == last | {"class_logits", "box_deltas", "mask_logits"}
    assert {"rpn_nms", "nms", "best_proposals"} <= named(found.logic)
    aligned = {node for node in made.graph if node.op_type in ("RoiAlign", "ScatterND")}
    assert aligned
    assert not aligned & found.logic, "what they read goes on into the heads"
    counted = behind(made.graph, COUNTING)
    assert {"fc1", "mask_conv", "class_logits", "mask_logits"} <= named(counted)
    assert not named(counted) & (last | {"level0", "stem", "best_proposals"})


def test_queries_meet_pixels_in_a_product_that_is_no_decoding() -> None:
    _, found = parts(query_masks())
    assert {"masks_of_queries", "attention"} <= named(found.learned)
    assert named(found.last) == {"classes", "masks_of_queries"}
    assert named(found.logic, "MatMul") == set()


@pytest.mark.parametrize("name", sorted(reference_models(instances=True)))
def test_of_the_reference_models_those_of_instances_detect_and_no_others(name: str) -> None:
    model = load(reference_models(instances=True)[name])
    infer_shapes(model)
    assert detects(model.graph) == (name in INSTANCE_MODELS)
    assert (detector_of(model.graph) is None) != (name in INSTANCE_MODELS)


@pytest.mark.parametrize(
    ("body", "y", "expected"),
    [
        ("y = Conv(x, w)", "float[1,2,6,6]", False),
        ("c = Conv(x, w) y = Softmax<axis=1>(c)", "float[1,2,6,6]", False),
        ("c = Conv(x, w) f = Flatten(c) v, y = TopK<axis=1>(f, k)", "int64[1,3]", False),
        ("c = Conv(x, w) y = RoiAlign(c, b, i)", "float[1,2,1,1]", True),
    ],
)
def test_an_operator_that_only_detectors_have_decides(body: str, y: str, expected: bool) -> None:
    given = {"k": np.array([3]), "b": np.zeros((1, 4), np.float32), "i": np.zeros(1, np.int64)}
    used: dict[str, Any] = {name: value for name, value in given.items() if f" {name})" in body or f" {name}," in body}
    assert detects(graph(body, y=y, opset=17, w=noise(2, 2, 1, 1), **used).graph) is expected


@pytest.mark.parametrize(
    ("parted", "kinds"),
    [
        (True, {"boxes": range(4), "scores": range(4, 8), "coefficients": range(8, 16)}),
        (False, {"boxes": range(4), "scores": range(4, 7), "coefficients": range(7, 15)}),
    ],
)
def test_channels_are_known_by_what_becomes_of_them(parted: bool, kinds: dict[str, range]) -> None:
    made = ir.serde.deserialize_model(yolo_of_anchors(parted=parted))
    for value in [value for node in made.graph for value in node.outputs]:
        value.shape = None
    infer_shapes(made)
    detect = next(node for node in made.graph if node.name == "detect0")
    channels = detect.outputs[0].shape[1]  # type: ignore[index]
    assert isinstance(channels, int)
    each = sum(map(len, kinds.values()))
    anchors = range(0, channels, each)
    found = channel_kinds(detect, made.graph)
    assert found == {kind: tuple(a + m for a in anchors for m in members) for kind, members in kinds.items()}


def test_moves_of_boxes_are_one_kind_though_they_are_computed_differently() -> None:
    made, found = parts(mask_rcnn())
    for node in found.last:
        assert len(channel_kinds(node, made.graph)) < 2, node.name
