"""One convolution for boxes, scores and coefficients becomes three, with the same results."""

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.graph import infer_shapes
from quantseg.graph.passes.unlike_channels import part_unlike_channels
from tests.support.detectors import mask_rcnn, query_masks, yolo_of_anchors, yolo_seg
from tests.support.graphs import assert_same, noise, op_types, run


def rewritten(model: ir.Model) -> tuple[ir.Model, list[str]]:
    copy = model.clone()
    infer_shapes(copy)
    return copy, [change.detail for change in part_unlike_channels(copy).changes]


@pytest.mark.parametrize(
    ("parted", "detail", "gathers"),
    [
        (True, "8 channels of boxes, 8 channels of scores, 16 channels of coefficients", 2),
        (False, "4 channels of boxes, 3 channels of scores, 8 channels of coefficients", 0),
    ],
)
def test_each_kind_gets_a_convolution_and_nothing_changes(parted: bool, detail: str, gathers: int) -> None:
    model = ir.serde.deserialize_model(yolo_of_anchors(parted=parted))
    new, changes = rewritten(model)
    assert changes == [detail, detail]
    assert op_types(new).count("Conv") == op_types(model).count("Conv") + 4
    assert op_types(new).count("Gather") == gathers
    feeds = {"images": noise(1, 3, 64, 64)}
    assert_same(run(new, feeds), run(model, feeds), 1e-6)
    again, more = rewritten(new)
    assert more == []
    assert op_types(again) == op_types(new)


@pytest.mark.parametrize("make", [yolo_seg, mask_rcnn, query_masks])
def test_heads_with_a_convolution_each_stay_as_they_are(make: object) -> None:
    assert callable(make)
    model = ir.serde.deserialize_model(make())
    new, changes = rewritten(model)
    assert changes == []
    assert op_types(new) == op_types(model)


def test_channels_of_computed_weights_stay_together() -> None:
    model = ir.serde.deserialize_model(yolo_of_anchors())
    detect = next(node for node in model.graph if node.name == "detect0")
    weight = detect.inputs[1]
    assert weight is not None
    doubled = ir.node("Add", [weight, weight], name="doubled")
    model.graph.insert_before(detect, doubled)
    detect.replace_input_with(1, doubled.outputs[0])
    assert np.array_equal(
        rewritten(model)[1], ["8 channels of boxes, 8 channels of scores, 16 channels of coefficients"]
    )
