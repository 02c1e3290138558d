import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.data import Item
from quantseg.data.heads import HEADS, class_map
from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe
from quantseg.errors import DataError, ModelError, RecipeError
from quantseg.evaluation.agreement import evaluate, evaluate_one
from quantseg.evaluation.metrics.confusion import ConfusionMatrix
from quantseg.evaluation.predictions import FoldedInput
from quantseg.graph import TensorSpec

INPUT = InputRecipe(size=(6, 8), layout="NCHW", channels="RGB")
SEEDS = st.integers(0, 2**32 - 1).map(np.random.default_rng)
LOGITS = SEEDS.map(lambda rng: rng.integers(-8, 9, (2, 3, 6, 8)).astype(np.float32))
MASKS = SEEDS.map(lambda rng: rng.integers(0, 3, (2, 6, 8)))


PIXELS = TensorSpec("pixels", "uint8", (1, 6, 8, 3))


def recipe(head="argmax", layout="NCHW", **fields):
    return Recipe(INPUT, OutputRecipe(name="y", layout=layout, head=head, **fields))


@dataclass(frozen=True)
class Images:
    """Item k carries k in its tensor, so that a session can tell which it is given."""

    masks: tuple = (None, None)
    batch: int = 1

    @property
    def names(self):
        return tuple(f"{k}.png" for k in range(len(self.masks)))

    def digest(self, index):
        return str(index)

    def load(self, index):
        tensor = np.full((self.batch, 3, 6, 8), index, np.float32)
        return Item(self.names[index], tensor, None, self.masks[index])


@dataclass(frozen=True)
class Model:
    """Answers item k with output k, and counts what it is asked."""

    answers: tuple
    asked: list
    inputs = (TensorSpec("sizes", "int64", (4,)), TensorSpec("x", "float32", (1, 3, 6, 8)))
    outputs = (TensorSpec("other", "float32", (1,)), TensorSpec("y", "float32", (1, 3, 6, 8)))

    def run(self, feeds, outputs=None):
        assert list(outputs) == ["y"]
        self.asked.append(int(feeds["x"].flat[0]))
        return [self.answers[self.asked[-1]]]

    def close(self):
        pass


def model(*answers):
    return Model(tuple(np.asarray(answer) for answer in answers), [])


def one_each(logits):
    return model(*(image[None] for image in logits))


@given(LOGITS, LOGITS, MASKS)
def test_scores_are_those_of_all_pixels_at_once(real, int8, masks):
    result = evaluate(one_each(real), one_each(int8), Images(tuple(masks)), recipe())
    r, q = real.argmax(1), int8.argmax(1)
    for scores, truth, mask in (
        (result.float_scores, masks, r),
        (result.int8_scores, masks, q),
        (result.between, r, q),
    ):
        whole = ConfusionMatrix.from_masks(truth, mask, 3)
        assert scores.mean_iou == whole.mean_iou()
        assert scores.per_class["iou"] == whole.iou()
        assert scores.per_class["dice"] == whole.dice()
    assert result.agreement == ConfusionMatrix.from_masks(r, q, 3).mean_iou()
    assert result.pixel_agreement == pytest.approx((r == q).mean())
    for k, image in enumerate(result.per_image):
        assert image.agreement == ConfusionMatrix.from_masks(r[k], q[k], 3).mean_iou()
        assert image.changed_pixels == (r[k] != q[k]).mean()


@given(LOGITS)
def test_equal_models_agree_wholly(logits):
    result = evaluate(one_each(logits), one_each(logits), Images(), recipe())
    assert (result.agreement, result.pixel_agreement, result.identical) == (1, 1, True)
    assert result.sqnr_db == math.inf
    assert result.to_json()["sqnr_db"] is None


@given(LOGITS, LOGITS, MASKS)
def test_json_holds_no_nan_and_names_every_image(real, int8, masks):
    result = evaluate(one_each(real), one_each(int8), Images(tuple(masks)), recipe())
    values = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert [image["name"] for image in values["per_image"]] == ["0.png", "1.png"]
    assert values["agreement"] == result.agreement


def test_one_pass_runs_each_image_once_through_each_model():
    real, int8 = one_each(np.zeros((2, 3, 6, 8), np.float32)), one_each(np.zeros((2, 3, 6, 8), np.float32))
    steps = []

    def track(items, *, total, what):
        steps.append((total, what))
        return items

    evaluate(real, int8, Images(), recipe(), track=track)
    assert (real.asked, int8.asked, steps) == ([0, 1], [0, 1], [(2, "evaluate")])


def test_the_worst_image_comes_first():
    zeros, half, other = np.zeros((3, 1, 2, 6, 8), np.float32)
    zeros[:, 0], half[:, 0], other[:, 1] = 1, 1, 1
    half[:, 1, :3] = 2
    result = evaluate(model(*[zeros] * 3), model(zeros, other, half), Images((None,) * 3), recipe())
    assert [image.name for image in result.worst(2)] == ["1.png", "2.png"]
    assert result.worst(2)[0].agreement == 0


def test_sqnr_adds_signal_and_noise_over_images():
    ones = np.ones((1, 3, 6, 8), np.float32)
    result = evaluate(model(ones, ones), model(ones, ones * np.float32(1.2)), Images(), recipe())
    assert result.sqnr_db == pytest.approx(10 * math.log10(2 / 0.04), abs=1e-4)


def test_ignored_labels_count_for_the_scores_only():
    masks = np.zeros((2, 6, 8), np.int64)
    masks[:, :3] = 255
    logits = np.zeros((2, 3, 6, 8), np.float32)
    logits[:, 1, :3] = 1
    result = evaluate(one_each(logits), one_each(logits), Images(tuple(masks)), recipe(ignore_index=255))
    assert result.float_scores.summary["pixel_accuracy"] == 1
    assert result.between.per_class["iou"] == (1, 1, None)


# Heads


@given(LOGITS)
def test_layouts_give_the_same_masks(logits):
    wanted = class_map((logits,), recipe().output)
    assert np.array_equal(class_map((logits.transpose(0, 2, 3, 1),), recipe(layout="NHWC").output), wanted)
    labels = recipe("labels", layout="NHW").output
    assert np.array_equal(class_map((wanted.astype(np.uint8),), labels), wanted)
    assert np.array_equal(class_map((wanted[:, None],), replace(labels, layout="NCHW")), wanted)


def test_a_threshold_is_exceeded_not_reached():
    output = np.array([0.2, 0.3, 0.4], np.float32).reshape(1, 1, 1, 3)
    assert class_map((output,), recipe("threshold", threshold=float(np.float32(0.3))).output).tolist() == [[[0, 0, 1]]]


@given(LOGITS)
def test_multilabel_is_a_threshold_for_each_channel(logits):
    masks = class_map((logits,), recipe("multilabel", threshold=1.0).output)
    for k in range(3):
        alone = class_map((logits[:, k : k + 1],), recipe("threshold", threshold=1.0).output)
        assert np.array_equal(masks[:, k], alone == 1)


def test_of_equal_channels_argmax_takes_the_first():
    assert class_map((np.zeros((1, 3, 2, 2), np.float32),), recipe().output).tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize(
    ("head", "layout", "shape", "words"),
    [
        ("threshold", "NCHW", (1, 2, 4, 4), "needs one channel and the output has 2"),
        ("labels", "NHWC", (1, 4, 4, 2), "needs one channel"),
        ("argmax", "NCHW", (3, 4, 4), "is not NCHW"),
        ("labels", "NHW", (1, 1, 4, 4), "is not NHW"),
    ],
)
def test_a_head_that_does_not_fit_the_output_is_refused(head, layout, shape, words):
    with pytest.raises(RecipeError, match=words):
        class_map((np.zeros(shape, np.float32),), recipe(head, layout).output)


def test_classes_have_names():
    assert HEADS["argmax"].class_names(("sky",), 2) == ("sky", "class 1")
    assert HEADS["threshold"].class_names((), 2) == ("background", "foreground")
    assert HEADS["threshold"].class_names(("text",), 2) == ("background", "text")
    assert HEADS["threshold"].class_names(("none", "text"), 2) == ("none", "text")


def test_multilabel_models_are_scored_channel_by_channel():
    logits = np.zeros((2, 3, 6, 8), np.float32)
    logits[:, 0], logits[:, 1, :3] = 1, 1
    masks = np.zeros((2, 3, 6, 8), np.int64)
    masks[:, 0], masks[:, 1, :2] = 1, 1
    result = evaluate(one_each(logits), one_each(logits), Images(tuple(masks)), recipe("multilabel"))
    assert result.float_scores.per_class["iou"] == (1, 2 / 3, None)
    assert result.agreement == 1


def test_models_that_mark_nothing_agree():
    nothing = np.zeros((2, 3, 6, 8), np.float32)
    result = evaluate(one_each(nothing), one_each(nothing), Images(), recipe("multilabel"))
    assert (result.agreement, result.between.mean_iou) == (1, None)


def test_class_ids_from_the_model_need_no_number_of_classes():
    maps = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 5]]])
    other = np.array([[[0, 0, 1, 0]], [[0, 0, 0, 5]]])
    result = evaluate(one_each(maps), one_each(other), Images(), recipe("labels", "NHW"))
    assert result.between.per_class["iou"] == (5 / 6, 1 / 2, None, None, None, 1)
    assert (len(result.classes), result.sqnr_db, result.identical) == (6, None, False)


def test_class_ids_too_many_to_be_classes_are_refused():
    maps = np.array([[[0, 70_000]], [[0, 0]]])
    with pytest.raises(DataError, match=r"^0\.png: class id 70000 "):
        evaluate(one_each(maps), one_each(maps), Images(), recipe("labels", "NHW"))


# Sizes and batches


def test_labels_are_brought_to_the_size_of_the_output():
    masks = np.zeros((2, 6, 8), np.int64)
    masks[:, :, 4:] = 1
    logits = np.zeros((2, 2, 3, 4), np.float32)
    logits[:, 1, :, 2:] = 1
    result = evaluate(one_each(logits), one_each(logits), Images(tuple(masks)), recipe())
    assert result.float_scores.mean_iou == 1


@given(LOGITS, LOGITS)
def test_a_batch_counts_as_its_images(real, int8):
    together = evaluate(model(real), model(int8), Images((None,), batch=2), recipe())
    apart = evaluate(one_each(real), one_each(int8), Images(), recipe())
    assert together.between == apart.between
    assert together.pixel_agreement == apart.pixel_agreement


# A folded model: another input, class ids as output


@given(LOGITS, MASKS, MASKS)
def test_a_folded_model_counts_as_one_that_gives_the_numbers(real, found, masks):
    images, labels = Images(tuple(masks)), recipe("labels", "NHW")
    one_hot = np.eye(3, dtype=np.float32)[found].transpose(0, 3, 1, 2)
    plain = evaluate(one_each(real), one_each(one_hot), images, recipe())
    taken = FoldedInput(images, labels, PIXELS)
    folded = evaluate(one_each(real), one_each(found.astype(np.uint8)), images, recipe(), folded=taken)
    assert folded == replace(plain, sqnr_db=None)


def test_a_folded_model_gets_its_own_tensor():
    @dataclass(frozen=True)
    class Turned(Images):
        def load(self, index):
            return replace(super().load(index), tensor=np.full((1, 6, 8, 3), 1 - index, np.uint8))

    real, ids = one_each(np.zeros((2, 3, 6, 8), np.float32)), one_each(np.zeros((2, 6, 8), np.uint8))
    evaluate(real, ids, Images(), recipe(), folded=FoldedInput(Turned(), recipe("labels", "NHW"), PIXELS))
    assert (real.asked, ids.asked) == ([0, 1], [1, 0])


def test_masks_of_another_size_are_no_pair():
    taken = FoldedInput(Images((None,)), recipe("labels", "NHW"), PIXELS)
    with pytest.raises(ModelError, match="its own quantised form"):
        evaluate(
            model(np.zeros((1, 3, 6, 8))), model(np.zeros((1, 3, 4), np.uint8)), Images((None,)), recipe(), folded=taken
        )


# A model alone


@given(LOGITS, MASKS)
def test_a_model_alone_scores_as_it_does_beside_another(logits, masks):
    images = Images(tuple(masks))
    alone = evaluate_one(one_each(logits), images, recipe())
    assert alone == evaluate(one_each(logits), one_each(-logits), images, recipe()).float_scores


def test_a_model_alone_needs_labels():
    with pytest.raises(DataError, match="no labels"):
        evaluate_one(one_each(np.zeros((2, 3, 6, 8), np.float32)), Images(), recipe())


# Bad input


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_name_tensor_and_image(value):
    fine = np.zeros((2, 3, 6, 8), np.float32)
    broken = fine.copy()
    broken[1, 0, 0, 0] = value
    with pytest.raises(ModelError, match=r"'y' holds NaN or infinity for 1\.png"):
        evaluate(one_each(fine), one_each(broken), Images(), recipe())


@given(LOGITS, LOGITS)
def test_shares_of_classes_are_those_of_the_masks(one, other):
    result = evaluate(one_each(one), one_each(other), Images(), recipe())
    for k, shares in enumerate(result.class_shares):
        assert shares == tuple((logits.argmax(1) == k).mean() for logits in (one, other))
    assert result.to_json()["images"] == 2


def test_a_wrong_class_id_names_the_image():
    masks = np.zeros((2, 6, 8), np.int64)
    masks[1, 2, 2] = 3
    logits = np.zeros((2, 3, 6, 8), np.float32)
    with pytest.raises(DataError, match=r"^1\.png: class id 3 in the label mask is outside 0…2"):
        evaluate(one_each(logits), one_each(logits), Images(tuple(masks)), recipe())


def test_models_of_different_output_are_no_pair():
    with pytest.raises(ModelError, match="its own quantised form"):
        evaluate(model(np.zeros((1, 3, 6, 8))), model(np.zeros((1, 3, 3, 4))), Images((None,)), recipe())


def test_labels_of_the_wrong_kind_are_refused():
    channels = tuple(np.zeros((2, 3, 6, 8), np.int64))
    logits = np.zeros((2, 3, 6, 8), np.float32)
    with pytest.raises(DataError, match=r"0\.png: labels of shape \(3, 6, 8\) do not fit"):
        evaluate(one_each(logits), one_each(logits), Images(channels), recipe())


def test_an_empty_data_set_is_refused():
    with pytest.raises(DataError, match="no images"):
        evaluate(model(), model(), Images(()), recipe())
