"""Which head a model's outputs get: those of detections their own, all others the one that they had before."""

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.data.heads import HEADS, complete_output, judged_outputs
from quantseg.data.heads.instances import INSTANCE_HEADS
from quantseg.data.heads.instances.anchors import anchor_counts
from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe, complete, override
from quantseg.errors import ModelError, RecipeError
from quantseg.graph import TensorSpec, signature
from tests.support.places import SHARED, WEIGHTS

N = None


def specs(*rows):
    return [TensorSpec(name, dtype, shape) for name, dtype, shape in rows]


def given_input(height, width=0):
    return InputRecipe(size=(height, width or height), layout="NCHW", channels="RGB")


def f(name, *shape):
    return name, "float32", shape


def i(name, *shape):
    return name, "int64", shape


KNOWN = {
    "torchvision": (
        (f("boxes", N, 4), i("labels", N), f("scores", N), f("masks", N, 1, N, N)), 800, "mask-rcnn", 90, "masks",
    ),
    "detectron2": (
        (f("boxes", N, 4), f("masks", N, 1, 28, 28), f("scores", N), i("labels", N)), 800, "mask-rcnn", 90, "masks",
    ),
    "masks of the image": (
        (f("scores", 9), i("labels", 9), f("boxes", 9, 4), f("masks", 9, 320, 320)), 320, "mask-rcnn", 90, "masks",
    ),
    "mmdeploy": ((f("dets", 1, N, 5), i("labels", 1, N), f("masks", 1, N, N, N)), 640, "mask-rcnn", 90, "masks"),
    "yolo11-seg": ((f("output0", 1, 116, 8400), f("output1", 1, 32, 160, 160)), 640, "yolo-seg", 80, "output0"),
    "yolo11-seg, dynamic": ((f("output0", N, 116, N), f("output1", N, 32, N, N)), 640, "yolo-seg", 80, "output0"),
    "yolo11-seg, small": ((f("output0", 1, 116, 756), f("output1", 1, 32, 48, 48)), 192, "yolo-seg", 80, "output0"),
    "yolo, four strides": ((f("p", 1, 36, 34000), f("q", 1, 30, 160, 160)), 640, "yolo-seg", 2, "p"),
    "yolo, transposed": ((f("p", 1, 756, 38), f("q", 1, 32, 48, 48)), 192, "yolo-seg", 2, "p"),
    "yolo, prototypes first": ((f("q", 1, 32, 48, 48), f("p", 1, 38, 756)), 192, "yolo-seg", 2, "p"),
    "yolo, rows": ((f("output0", 1, 300, 38), f("output1", 1, 32, 160, 160)), 640, "yolo-seg", 80, "output0"),
    "mask2former": ((f("logits", N, 100, 81), f("masks", N, 100, 128, 128)), 512, "query-masks", 80, "masks"),
    "mask2former, dynamic": ((f("logits", N, N, 81), f("masks", N, N, N, N)), 512, "query-masks", 80, "masks"),
    "one class": ((f("masks", 1, 50, 64, 64), f("logits", 1, 50, 1)), 256, "query-masks", 1, "masks"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KNOWN)
def test_outputs_of_known_exporters_get_their_head(kind):
    rows, side, head, classes, name = KNOWN[kind]
    outputs, size = specs(*rows), given_input(side)
    done = complete_output(OutputRecipe(), outputs, size)
    assert (done.head, len(done.classes), done.name, done.size) == (head, classes, name, (side, side))
    assert done.classes[0] == "class 0"
    assert done.nms_iou == (0.7 if head == "yolo-seg" and kind != "yolo, rows" else None)
    assert complete_output(done, outputs, size) == done
    assert complete_output(OutputRecipe(name=name), outputs, size) == done
    assert judged_outputs(Recipe(size, done), outputs).outputs == HEADS[head].outputs(done, outputs[::-1])
    recognised = [k for k, one in INSTANCE_HEADS.items() if one.recognises(OutputRecipe(), outputs, size)]
    assert recognised[0] == head


SEMANTIC = {
    "a map": ((f("y", 1, 21, 64, 64),), "argmax"),
    "with an auxiliary map": ((f("y", 1, 21, 64, 64), f("aux", 1, 21, 64, 64)), "argmax"),
    "with small auxiliary maps": ((f("y", 1, 21, 64, 64), f("a", 1, 21, 8, 8), f("b", 1, 2, 16, 16)), "argmax"),
    "with the image's class": ((f("y", 1, 21, 64, 64), f("label", 1, 21)), "argmax"),
    "with depth": ((f("depth", 1, 64, 64), f("y", 1, 21, 64, 64)), "threshold"),
    "with tokens": ((f("y", 1, 21, 64, 64), f("tokens", 1, 64, 256)), "argmax"),
    "with small tokens": ((f("y", 1, 21, 16, 16), f("tokens", 1, 197, 768)), "argmax"),
    "with regions": ((f("y", 1, 21, 16, 16), f("regions", 1, 19, 512)), "argmax"),
    "with boxes": ((f("y", 1, 21, 64, 64), f("boxes", 1, 100, 4)), "argmax"),
    "one channel": ((f("y", 1, 1, 64, 64),), "threshold"),
    "without channels": ((f("y", 1, 64, 64),), "threshold"),
    "ids": ((i("y", 1, 64, 64),), "labels"),
    "ids with scores": ((i("y", 1, 64, 64), f("scores", 1, 64, 64)), "labels"),
    "ids with the image's class": ((i("y", 1, 1, 64, 64), i("k", 1), f("s", 1)), "labels"),
    "dynamic": ((f("y", N, 5, N, N), f("aux", N, 5, N, N)), "argmax"),
    "a volume": ((f("y", 1, 3, 8, 64, 64),), "argmax"),
}


@pytest.mark.parametrize("kind", SEMANTIC)
def test_outputs_of_other_models_get_the_head_that_they_had(kind):
    """No head of instances sees them, so that the heads of maps decide as they did alone."""
    rows, head = SEMANTIC[kind]
    outputs, size = specs(*rows), given_input(64)
    assert [k for k, one in INSTANCE_HEADS.items() if one.recognises(OutputRecipe(), outputs, size)] == []
    done = complete_output(OutputRecipe(), outputs, size)
    assert (done.head, done.size, done.nms_iou) == (head, None, None)


MODELS = sorted([*WEIGHTS.glob("*.onnx"), *(SHARED / "models").glob("*.onnx")])


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_models_at_hand_that_make_maps_keep_their_head(path):
    inputs, outputs = signature(ir.load(path))
    if any(len(spec.shape) != 4 for spec in outputs):
        pytest.skip("it makes no map")
    done = complete(
        override(Recipe(), size=(320, 320)) if N in inputs[0].shape[2:] else Recipe(), inputs, outputs, model="m"
    )
    assert done.output.head == ("threshold" if path.stem.startswith("ppocr") else "argmax")
    assert [k for k, one in INSTANCE_HEADS.items() if one.recognises(OutputRecipe(), outputs, done.input)] == []


def test_the_named_output_may_be_a_map_beside_detections():
    """As the guide for Ultralytics has it: the prototypes judged as a map."""
    outputs = specs(*KNOWN["yolo11-seg"][0])
    assert complete_output(OutputRecipe(name="output1"), outputs, given_input(640)).head == "argmax"
    masks = specs(*KNOWN["mask2former"][0])
    assert complete_output(OutputRecipe(head="argmax"), masks, given_input(512)).name == "masks"


def test_names_tell_whether_a_logit_means_nothing():
    outputs, size = specs(f("logits", 1, 100, 3), f("masks", 1, 100, 64, 64)), given_input(256)
    for names in (("a", "b", "c"), ("a", "b")):
        assert complete_output(OutputRecipe(classes=names), outputs, size).classes == names
    with pytest.raises(RecipeError, match=r"output\.classes: 4 names, but query-masks .* makes 2 classes"):
        complete_output(OutputRecipe(classes=tuple("abcd")), outputs, size)


def test_names_tell_what_dynamic_sizes_do_not():
    size, names = given_input(256), ("a", "b")
    yolo = specs(f("p", 1, N, N), f("q", 1, 32, 64, 64))
    queries = specs(f("l", 1, 100, N), f("m", 1, 100, 64, 64))
    for head, outputs in (("yolo-seg", yolo), ("query-masks", queries)):
        assert complete_output(OutputRecipe(head=head, classes=names), outputs, size).classes == names
        with pytest.raises(RecipeError, match=r"output\.classes: .* cannot tell their number .*classes="):
            complete_output(OutputRecipe(head=head), outputs, size)


def test_a_suppression_that_is_asked_for_makes_rows_predictions():
    """Two classes make rows of 6+K numbers too; the number of anchors is unusual here, so nothing else tells."""
    outputs, size = specs(f("p", 1, 500, 38), f("q", 1, 32, 48, 48)), given_input(192)
    assert complete_output(OutputRecipe(), outputs, size).nms_iou is None
    wanted = complete_output(OutputRecipe(head="yolo-seg", nms_iou=0.6), outputs, size)
    assert (wanted.nms_iou, len(wanted.classes)) == (0.6, 2)


def test_outputs_that_fit_no_kind_are_one_line_that_says_what_each_needs():
    outputs = specs(f("boxes", 1, 100, 4), i("labels", 1, 100))
    with pytest.raises(
        ModelError, match=r"no image-like output: it has 'boxes' float32 1x100x4, 'labels' int64"
    ) as one:
        complete_output(OutputRecipe(), outputs, given_input(64))
    assert all(head in str(one.value) for head in INSTANCE_HEADS)
    assert "\n" not in str(one.value)


@pytest.mark.parametrize("head", INSTANCE_HEADS)
def test_a_head_that_is_asked_for_and_does_not_fit_is_one_line(head):
    for rows in ((f("y", 1, 5, 64, 64),), (f("y", 1, 5, 64, 64), f("aux", 1, 7, 64, 64)), ()):
        with pytest.raises(ModelError, match=rf"output\.head: {head} needs .*; the model has") as one:
            complete_output(OutputRecipe(head=head), specs(*rows), given_input(64))
        assert "\n" not in str(one.value)


def test_anchor_boxes_with_objectness_are_refused():
    outputs = specs(f("p", 1, 25200, 117), f("q", 1, 32, 160, 160))
    assert complete_output(OutputRecipe(), outputs, given_input(640)).head == "argmax"
    with pytest.raises(
        ModelError, match=r"three anchors a place, with objectness \(YOLOv5\), which is not read"
    ) as one:
        complete_output(OutputRecipe(head="yolo-seg"), outputs, given_input(640))
    assert "\n" not in str(one.value)


def test_more_classes_than_can_be_are_refused_before_they_are_named():
    outputs = specs(f("p", 1, 10**6, 756), f("q", 1, 32, 48, 48))
    with pytest.raises(ModelError, match="more than 4,096"):
        complete_output(OutputRecipe(head="yolo-seg"), outputs, given_input(192))


def test_the_numbers_of_anchors_are_those_of_two_strides_or_more():
    found = anchor_counts((640, 640))
    assert {8400, 8400 + 160 * 160, 80 * 80 + 40 * 40} <= found
    assert not found & {80 * 80, 40 * 40, 160 * 160}
    assert anchor_counts((6, 8)) == frozenset()
    assert np.all(np.array(sorted(anchor_counts((65, 97)))) > 0)
