"""The instance networks: regions as ONNX defines them, what is learned, and their ONNX form."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.parser import parse_model

torch = pytest.importorskip("torch")
pytest.importorskip("faster_coco_eval")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from reference_models.architectures import ARCHITECTURES, regions  # noqa: E402
from reference_models.architectures.mask_rcnn import MaskRCNN, anchors, inside, moved, shifts_between  # noqa: E402
from reference_models.architectures.yolo_seg import STRIDES, YoloSeg, places  # noqa: E402
from reference_models.export import export, largest_difference, parameters  # noqa: E402
from reference_models.instances import objects  # noqa: E402
from reference_models.instances.objects import DrawnObjects, Objects, boxes_of  # noqa: E402
from reference_models.instances.task import KINDS, InstanceTask  # noqa: E402
from reference_models.instances.yolo_loss import assign  # noqa: E402
from reference_models.making import make  # noqa: E402
from reference_models.wanted import Wanted  # noqa: E402
from reference_models.zoo import ZOO  # noqa: E402

SIDE = 64
NAMES = sorted(KINDS)


def run(model, **feeds):
    """The outputs of onnxruntime."""
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)


def boxes_in(height, width, count, seed):
    """Boxes inside an image, some of them empty, some the whole."""
    corners = np.random.default_rng(seed).uniform(0, 1, (count, 2, 2)) * [width, height]
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    for index, box in enumerate([[0, 0, width, height], [3, 5, 3, 5]][:count]):
        boxes[index] = box
    return boxes


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.sampled_from([1, 2, 7]), st.sampled_from([1.0, 0.25]))
def test_roi_align_is_onnxruntimes(seed, count, size, scale):
    features = np.random.default_rng(seed).normal(size=(1, 3, 9, 12)).astype(np.float32)
    boxes = boxes_in(9 / scale, 12 / scale, count, seed)
    model = parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,3,9,12] x, float[n,4] boxes, int64[n] images) => (float[n,3,{size},{size}] y) {{
        y = RoiAlign <coordinate_transformation_mode="half_pixel", mode="avg", output_height={size},
                      output_width={size}, sampling_ratio={regions.SAMPLES}, spatial_scale={scale}> (x, boxes, images)
    }}""")
    (expected,) = run(model, x=features, boxes=boxes, images=np.zeros(count, np.int64))
    found = regions.roi_align(torch.from_numpy(features), torch.from_numpy(boxes), size, scale)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(1, 6), st.sampled_from([0.0, 0.3, 0.7]))
def test_non_max_suppression_is_onnxruntimes(seed, count, most, overlap):
    rng = np.random.default_rng(seed)
    boxes = boxes_in(20, 30, count, seed)
    scores = rng.integers(0, 8, (2, count)).astype(np.float32) / 8  # with ties
    model = parse_model("""<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,n,4] boxes, float[1,2,n] scores, int64[1] most, float[1] overlap, float[1] lowest) => (int64[k,3] y) {
        y = NonMaxSuppression (boxes, scores, most, overlap, lowest)
    }""")
    limits = {
        "most": np.array([most]),
        "overlap": np.array([overlap], np.float32),
        "lowest": np.array([0.2], np.float32),
    }
    (expected,) = run(model, boxes=boxes[None], scores=scores[None], **limits)
    found = regions.suppress(boxes, scores, most=most, overlap=overlap, lowest=0.2)
    np.testing.assert_array_equal(found, expected)


def test_a_crop_has_a_gradient_and_one_image_for_each_box_is_the_same():
    features = torch.randn(1, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[1.0, 2.0, 6.0, 7.0], [0.0, 0.0, 3.0, 8.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: regions.crop(x, boxes, 3), features)
    each = regions.crop(features.expand(2, -1, -1, -1), boxes, 3)
    torch.testing.assert_close(each, regions.crop(features, boxes, 3))


def test_shifts_move_boxes_to_their_targets():
    boxes, targets = (torch.from_numpy(boxes_in(50, 60, 12, seed))[2:] for seed in (1, 2))
    torch.testing.assert_close(moved(boxes, shifts_between(boxes, targets)), targets, atol=1e-3, rtol=1e-4)
    cut = inside(torch.tensor([[-5.0, -6.0, 99.0, 98.0]]), (20, 30))
    assert cut.tolist() == [[0, 0, 30, 20]]


def test_places_and_anchors_are_centred_on_the_pixels_of_their_levels():
    points, strides = places(64, 96)
    assert points.shape[1] == len(strides) == sum(64 * 96 // stride**2 for stride in STRIDES)
    pixels = points * strides
    assert pixels[:, :2].tolist() == [[4, 12], [4, 4]]
    assert pixels[:, -1].tolist() == [80, 48]
    first = anchors(64, 96)[0][:3]
    torch.testing.assert_close((first[:, :2] + first[:, 2:]) / 2, torch.full((3, 2), 2.0))
    torch.testing.assert_close((first[:, 2:] - first[:, :2]).prod(dim=1), torch.full((3,), 14.0**2))


def test_boxes_reach_from_edge_to_edge_of_the_outer_pixels():
    masks = torch.zeros(2, 6, 8, dtype=torch.bool)
    masks[0, 1:4, 2:7] = True
    masks[1, 5, 0] = True
    assert boxes_of(masks).tolist() == [[2, 1, 7, 4], [0, 5, 1, 6]]
    assert boxes_of(masks[:0]).shape == (0, 4)


def test_a_place_goes_to_one_object_and_the_best_place_scores_its_iou():
    points, strides = places(SIDE, SIDE)
    centres = (points * strides).T
    truth = torch.tensor([[4.0, 4.0, 28.0, 28.0], [20.0, 20.0, 44.0, 44.0], [62.0, 0.0, 64.0, 3.0]])
    masks = torch.zeros(3, SIDE, SIDE, dtype=torch.bool)
    some = Objects(truth, torch.tensor([0, 1, 0]), masks)
    boxes = torch.cat((centres - 12, centres + 12), dim=1)
    found = assign(torch.full((2, len(strides)), 0.5), boxes, centres, some)
    assert len(set(found.places.tolist())) == len(found.places)
    assert set(found.objects.tolist()) == {0, 1, 2}
    overlap = regions.iou(truth, boxes)[found.objects, found.places]
    for number in range(3):
        assert found.scores[found.objects == number].max() == pytest.approx(
            float(overlap[found.objects == number].max())
        )
    nothing = Objects(truth[:0], torch.zeros(0, dtype=torch.int64), masks[:0])
    assert len(assign(torch.rand(2, len(strides)), boxes, centres, nothing).places) == 0


@pytest.fixture
def few(monkeypatch):
    """Two images to validate on."""
    monkeypatch.setattr(objects, "_DRAWN_FOR_VALIDATION", 2)


def task_of(name, count=4, side=SIDE):
    """A few small drawings."""
    row = ZOO[name]
    data = replace(row.data, input=replace(row.data.input, size=(side, side)))
    settings = replace(row.settings, batch=4)
    return InstanceTask(KINDS[name], data, settings, 0, torch.device("cpu"), DrawnObjects((side, side), count))


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_falls_and_every_parameter_learns(name):
    torch.manual_seed(0)
    task, network = task_of(name), ARCHITECTURES[name](2)
    assert parameters(network) < 1_000_000
    optimizer, loss_of = torch.optim.AdamW(network.parameters(), lr=2e-3), task.loss()
    (batch,) = task.batches(0)
    losses = []
    for _ in range(8):
        loss = loss_of(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert [key for key, value in network.named_parameters() if value.grad is None] == []
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_an_object_has_a_loss(name):
    network = ARCHITECTURES[name](2)
    task = task_of(name)
    empty = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, SIDE, SIDE, dtype=torch.bool))
    loss = task.loss()(network, (np.full((2, SIDE, SIDE, 3), 200, np.uint8), [empty, empty]))
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", NAMES)
def test_the_exported_model_computes_what_torch_computes(name, tmp_path):
    torch.manual_seed(3)
    network, task = ARCHITECTURES[name](2).eval(), task_of(name)
    path = tmp_path / "net.onnx"
    export(network, task.recipe, path, data="none")
    model = onnx.load(path)
    shapes = {v.name: [d.dim_value or None for d in v.type.tensor_type.shape.dim] for v in model.graph.output}
    if name == "mask_rcnn":
        assert shapes == {"boxes": [None, 4], "labels": [None], "scores": [None], "masks": [None, 1, 28, 28]}
    else:
        places = sum((SIDE // stride) ** 2 for stride in STRIDES)
        assert shapes == {"pred": [None, 4 + 2 + 16, places], "protos": [None, 16, SIDE // 2, SIDE // 2]}
    for image in task.prepared(2):
        assert largest_difference(network, path, image) < 1e-4


def test_a_model_that_finds_nothing_gives_empty_outputs_and_finds_again(tmp_path):
    torch.manual_seed(3)
    network, task = MaskRCNN(2).eval(), task_of("mask_rcnn")
    image = task.prepared(1)[0]
    path = tmp_path / "net.onnx"
    found = network(image)
    with torch.no_grad():
        network.classes.bias[0] = 99.0
    export(network, task.recipe, path, data="none")  # traced on an image without an instance
    session = onnxruntime.InferenceSession(path)
    assert [out.shape for out in session.run(None, {"image": image.numpy()})] == [(0, 4), (0,), (0,), (0, 1, 28, 28)]
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "classes.bias":
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[0] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    again = run(model, image=image.numpy())
    assert len(found[0]) > 0
    for one, other in zip(found, again, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other, atol=1e-4)


def test_drawings_are_turned_together_with_their_objects_and_epochs_differ():
    drawn = DrawnObjects((SIDE, SIDE), 4)
    images, batch = next(drawn.epoch(0, batch=4, seed=0))
    for image, some in zip(images, batch, strict=True):
        assert (boxes_of(some.masks) == some.boxes).all()
        for mask, number in zip(some.masks.numpy(), some.classes, strict=True):
            # A cell absorbs green light; what is beside it hardly does.
            assert image[mask][:, 1].mean() < image[..., 1].max() - 10, number
    again, other = (next(drawn.epoch(number, batch=4, seed=0))[0] for number in (0, 1))
    assert np.array_equal(images, again)
    assert not np.array_equal(images, other)


def test_the_score_is_one_where_the_truth_is_found_and_none_where_nothing_is(few):
    task = task_of("mask_rcnn")
    truths = [truth for _, truth in task.images.validation()]

    class Oracle(torch.nn.Module):
        """Says what is true, as a Mask R-CNN whose masks are as large as the image does."""

        def forward(self, image):
            truth = truths.pop(0)
            return (
                boxes_of(torch.from_numpy(truth.masks)),
                torch.from_numpy(truth.classes + 1),
                torch.linspace(1, 0.5, len(truth)),
                torch.from_numpy(truth.masks[:, None].astype(np.float32)),
            )

    found = task.precision(Oracle())
    assert found.summary["ap"] == pytest.approx(1)
    with torch.no_grad():
        nothing = MaskRCNN(2).eval()
        nothing.classes.bias[0] = 99.0
    assert task.score(nothing) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_makes_the_same_weights(name, few, tmp_path, monkeypatch):
    row = ZOO[name]
    data = replace(row.data, input=replace(row.data.input, size=(SIDE, SIDE)))
    monkeypatch.setitem(ZOO, name, replace(row, data=data))
    monkeypatch.setattr(DrawnObjects.__init__, "__defaults__", (4,))
    for output, seed in (("a", 0), ("b", 0), ("c", 1)):
        card = make(name, None, tmp_path / output, Wanted({"epochs": 2, "batch": 2}, seed=seed))
    a, b, c = ((tmp_path / output / f"{name}.onnx").read_bytes() for output in "abc")
    assert a == b
    assert a != c
    assert card["onnx_difference"] < 1e-4
    assert card["command"] == f"python -m reference_models train {name} --epochs 2 --batch 2 --seed 1"
    assert tuple(card["validation_ap_by_class"]) == data.classes


def test_yolo_boxes_are_the_means_of_their_distributions():
    network = YoloSeg(2).eval()
    sides = torch.full((1, 4, 8, 3), -50.0)
    sides[:, :, 2], sides[:, :, 3] = 50.0, 50.0  # half of 2, half of 3
    torch.testing.assert_close(network.distances(sides), torch.full((1, 4, 3), 2.5))
