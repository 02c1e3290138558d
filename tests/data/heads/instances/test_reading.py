"""Laws of every head of instances: what was written is read, whatever the order; and what cannot be is one line."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.data.heads import HEADS, InstanceHead, class_map, head_of
from quantseg.data.heads.instances.evidence import Soft, leads
from quantseg.data.recipe import OutputRecipe, Recipe, recipe_from_toml
from quantseg.errors import PlanError, RecipeError
from quantseg.files import limits
from tests.support import detections
from tests.support.detections import INPUT, NAMES, SIZE, rectangles
from tests.support.strategies import reals

SEEDS = st.integers(0, 2**32 - 1)
MAKERS = {
    "mask-rcnn": detections.mask_rcnn,
    "yolo-seg": detections.yolo,
    "yolo-seg, rows": detections.rows,
    "query-masks": detections.queries,
    "query-masks, sigmoid": lambda found: detections.queries(found, nothing=False),
}
kinds = pytest.mark.parametrize("kind", MAKERS)


def recipe_of(kind, made):
    return made.recipe(head=kind.partition(",")[0])


def read(made, recipe, lowest=0.001, arrays=None):
    """The instances of each image."""
    head, held = head_of(recipe), made.arrays if arrays is None else arrays
    return head.instances([held[name] for name in head.outputs(recipe, made.specs)], recipe, lowest)


def outputs_of(made, recipe):
    return [made.arrays[name] for name in head_of(recipe).outputs(recipe, made.specs)]


def assert_equal(found, wanted, tolerance=1e-5):
    np.testing.assert_array_equal(found.masks, wanted.masks)
    np.testing.assert_array_equal(found.classes, wanted.classes)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=tolerance)
    assert not found.crowd.any()
    assert (found.masks.dtype, found.classes.dtype, found.scores.dtype) == (np.bool_, np.int64, np.float32)


# Reading.


@kinds
@given(SEEDS, st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_what_was_written_is_read(kind, seed, count):
    wanted = rectangles(seed, count)
    made = MAKERS[kind](wanted)
    (found,) = read(made, recipe_of(kind, made))
    assert_equal(found, wanted)


@kinds
def test_outputs_in_half_precision_are_read(kind):
    wanted = rectangles(1)
    made = MAKERS[kind](wanted)
    arrays = {n: a.astype(np.float16) if a.dtype == np.float32 else a for n, a in made.arrays.items()}
    (found,) = read(made, recipe_of(kind, made), arrays=arrays)
    assert_equal(found, wanted, tolerance=2e-3)


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_masks_in_boxes_are_pasted(seed):
    wanted = rectangles(seed)
    inside = np.zeros(SIZE, bool)
    inside[2:30, 10:38] = True
    made = detections.mask_rcnn(wanted, pasted=False)
    (found,) = read(made, made.recipe())
    clipped = wanted.masks & inside
    assert_equal(found, replace(wanted, masks=clipped).chosen(clipped.any(axis=(1, 2))))


@kinds
@given(SEEDS, SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_does_not_matter_where_scores_differ(kind, seed, other):
    """Rows: of detections, anchors or queries; prototypes stay where they are."""
    made = MAKERS[kind](rectangles(seed))
    recipe, rng = recipe_of(kind, made), np.random.default_rng(other)
    axes = {"mask-rcnn": 0, "yolo-seg": 2}.get(kind, 1)
    moving = [name for name in made.arrays if name != "output1"]
    order = rng.permutation(made.arrays[moving[0]].shape[axes])
    moved = {n: a.take(order, axis=axes) if n in moving else a for n, a in made.arrays.items()}
    assert_equal(read(made, recipe, arrays=moved)[0], read(made, recipe)[0])


@kinds
def test_masks_are_the_unions_of_what_is_above_the_threshold(kind):
    wanted = rectangles(3)
    wanted = replace(wanted, scores=np.array([0.9, 0.8, 0.4, 0.3], np.float32))
    made = MAKERS[kind](wanted)
    recipe = recipe_of(kind, made)
    masks = class_map(outputs_of(made, recipe), recipe)
    assert (masks.dtype, masks.shape) == (np.bool_, (1, 3, *SIZE))
    np.testing.assert_array_equal(masks[0], wanted.above(0.5).planes(3))
    assert [len(one) for one in read(made, recipe, 0.35)] == [3]


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "mask-rcnn"])
def test_each_image_of_a_batch_is_read_as_alone(kind):
    pairs = [MAKERS[kind](rectangles(seed)) for seed in (5, 6)]
    recipe = recipe_of(kind, pairs[0])
    both = {name: np.concatenate([one.arrays[name] for one in pairs]) for name in pairs[0].arrays}
    found = read(pairs[0], recipe, arrays=both)
    for image, made in zip(found, pairs, strict=True):
        assert_equal(image, read(made, recipe)[0])
    head = head_of(recipe)
    names = head.outputs(recipe, pairs[0].specs)
    stacked = head.margins([both[name] for name in names], recipe)
    assert stacked.of([both[name] for name in names]).tolist() == stacked.lead.tolist()


def test_detections_with_scores_in_the_boxes_and_a_batch_axis_are_read():
    wanted = rectangles(7)
    one = detections.mask_rcnn(wanted).arrays
    dets = np.concatenate([one["boxes"], one["scores"][:, None]], axis=1)[None]
    made = detections.made(
        {"dets": dets, "labels": one["labels"][None].astype(np.int32), "masks": one["masks"][None, :, 0]},
        dets=(1, None, 5), labels=(1, None), masks=(1, None, None, None),
    )  # fmt: skip
    recipe = made.recipe()
    assert (recipe.head, recipe.name) == ("mask-rcnn", "masks")
    assert_equal(read(made, recipe)[0], wanted)


def test_predictions_may_lie_the_other_way():
    wanted = rectangles(8)
    made = detections.yolo(wanted)
    turned = detections.made({**made.arrays, "output0": made.arrays["output0"].transpose(0, 2, 1)})
    assert_equal(read(turned, turned.recipe(head="yolo-seg"))[0], wanted)


def test_boxes_that_overlap_are_suppressed_within_a_class():
    wanted = rectangles(9, 2)
    wanted = replace(wanted, classes=np.array([1, 1]))
    made = detections.yolo(wanted)
    pred = made.arrays["output0"]
    copies = np.flatnonzero(pred[0, 4:7].max(axis=0) == 0)[:2]
    best = int(pred[0, 5].argmax())
    pred[:, :, copies] = pred[:, :, [best]]
    pred[0, 4:7, copies] = [[0, 0.3, 0], [0.2, 0, 0]]
    pred[0, 0, copies[0]] += 0.25
    (found,) = read(made, made.recipe(head="yolo-seg"))
    assert_equal(found.chosen(found.scores > 0.5), wanted)
    assert found.classes.tolist() == [1, 1, 0]  # of the other class, so it stays
    (all_of_them,) = read(made, made.recipe(head="yolo-seg", nms_iou=1.0))
    assert len(all_of_them) == 4


def test_a_mask_of_yolo_ends_with_its_box():
    made = detections.yolo(rectangles(10, 1))
    made.arrays["output1"][:] = 1
    box = made.arrays["output0"][0, :4, made.arrays["output0"][0, 4:7].max(axis=0).argmax()]
    (found,) = read(made, made.recipe(head="yolo-seg"))
    rows, columns = np.nonzero(found.masks[0])
    assert rows.min() == box[1] - box[3] / 2
    assert rows.max() + 1 == box[1] + box[3] / 2
    assert columns.min() == box[0] - box[2] / 2
    assert columns.max() + 1 == box[0] + box[2] / 2
    assert found.masks[0].sum() == box[2] * box[3]


def test_the_score_of_a_query_is_also_of_its_mask_where_a_logit_means_nothing():
    made = detections.queries(rectangles(11, 1))
    made.arrays["masks"][made.arrays["masks"] > 0] = 1.0
    (found,) = read(made, made.recipe())
    sigmoid = 1 / (1 + np.exp(-1.0))
    assert found.scores[0] == pytest.approx(rectangles(11, 1).scores[0] * sigmoid, abs=1e-3)
    plain = detections.queries(rectangles(11, 1), nothing=False)
    plain.arrays["masks"][plain.arrays["masks"] > 0] = 1.0
    assert read(plain, plain.recipe())[0].scores[0] == pytest.approx(rectangles(11, 1).scores[0], abs=1e-5)


@kinds
def test_at_most_a_hundred_instances_are_read(kind):
    wanted = rectangles(12, 1)
    made = MAKERS[kind](wanted)
    axes = {"mask-rcnn": 0, "yolo-seg": 2}.get(kind, 1)
    many = {n: np.repeat(a, 150, axis=axes) if n != "output1" else a for n, a in made.arrays.items()}
    recipe = recipe_of(kind, made)
    if recipe.nms_iou is not None:
        recipe = replace(recipe, nms_iou=1.0)
    assert len(read(made, recipe, arrays=many)[0]) == 100


# Odd detections.


@kinds
def test_boxes_and_scores_out_of_range_are_cut_or_left_out(kind):
    made = MAKERS[kind](rectangles(13))
    recipe, first = recipe_of(kind, made), next(iter(made.arrays))
    rng = np.random.default_rng(0)
    wild = made.arrays[first] * rng.choice([-1e6, -1, 0, 1, 1e36], made.arrays[first].shape).astype(np.float32)
    for (image,) in (read(made, recipe, arrays={**made.arrays, first: wild.astype(np.float32)}),):
        assert image.masks.shape[1:] == SIZE
        assert image.masks.any(axis=(1, 2)).all()


@kinds
@given(st.data())
@settings(max_examples=15, deadline=None)
def test_any_finite_outputs_are_read_or_one_line(kind, data):
    """Also the largest numbers that there are, without a warning on the way."""
    made = MAKERS[kind](rectangles(13, 2))
    recipe, arrays = recipe_of(kind, made), dict(made.arrays)
    for name, array in made.arrays.items():
        if array.dtype == np.float32:
            numbers = data.draw(st.lists(reals, min_size=1, max_size=12))
            rng = np.random.default_rng(data.draw(SEEDS))
            arrays[name] = np.where(rng.random(array.shape) < 0.3, rng.choice(np.float32(numbers), array.shape), array)
        else:
            arrays[name] = np.array(data.draw(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=2, max_size=2)))
    outputs = [arrays[name] for name in head_of(recipe).outputs(recipe, made.specs)]
    lead = head_of(recipe).margins(outputs, recipe).lead
    assert not np.isnan(lead).any()
    refused, images = "", ()
    try:
        images = read(made, recipe, arrays=arrays)
    except RecipeError as error:
        refused = str(error)
    assert bool(refused) != bool(images)
    assert "\n" not in refused
    for found in images:
        assert found.masks.any(axis=(1, 2)).all()
        assert (np.diff(found.scores) <= 0).all()


def test_label_0_is_background_and_a_label_beyond_the_names_is_one_line():
    made = detections.mask_rcnn(rectangles(14))
    recipe = made.recipe()
    labels = np.array([0, -1, 2, 3])
    (found,) = read(made, recipe, arrays={**made.arrays, "labels": labels})
    assert found.classes.tolist() == [1, 2]
    beyond = {**made.arrays, "labels": np.array([1, 7, 2, 1])}
    with pytest.raises(
        RecipeError, match=r"label 7, and the recipe names 3 classes from label 1; give .*classes="
    ) as one:
        read(made, recipe, arrays=beyond)
    assert "\n" not in str(one.value)
    head = head_of(recipe)  # of margins only the scores are looked at, as a model in the making may do this
    assert np.isfinite(head.margins([beyond[n] for n in head.outputs(recipe, made.specs)], recipe).lead).all()


def test_a_class_of_rows_beyond_the_names_is_one_line():
    made = detections.rows(rectangles(15))
    recipe = made.recipe(head="yolo-seg")
    made.arrays["output0"][0, 0, 5] = 3
    with pytest.raises(RecipeError, match="label 3, and the recipe names 3 classes from label 0"):
        read(made, recipe)
    made.arrays["output0"][0, 0, 5] = -1
    assert len(read(made, recipe)[0]) == 3


@kinds
def test_arrays_that_do_not_fit_the_recipe_are_one_line(kind):
    made = MAKERS[kind](rectangles(16))
    recipe = recipe_of(kind, made)
    head, arrays = head_of(recipe), outputs_of(made, recipe)
    cut = [arrays[0][..., :-1] if "rows" in kind or kind == "mask-rcnn" else arrays[0][:, :-1], *arrays[1:]]
    shuffled = arrays[::-1]
    fewer = arrays[:1]
    for wrong in (cut, shuffled, fewer):
        for use in (head.masks, head.margins, lambda found, recipe: head.instances(found, recipe, 0.5)):
            with pytest.raises(
                RecipeError, match=r"outputs of shapes .* correct output\.head or output\.classes"
            ) as one:
                use(wrong, recipe)
            assert "\n" not in str(one.value)


# Margins.


@kinds
@given(SEEDS, st.integers(0, 5))
@settings(max_examples=10, deadline=None)
def test_margins_have_one_shape_whatever_is_found(kind, seed, count):
    made = MAKERS[kind](rectangles(seed, count))
    recipe = recipe_of(kind, made)
    outputs = outputs_of(made, recipe)
    margins = head_of(recipe).margins(outputs, recipe)
    np.testing.assert_array_equal(margins.of(outputs), margins.lead)
    assert margins.lead.dtype == np.float32
    assert margins.lead.shape == margins.classes.shape
    assert np.abs(margins.lead).max() <= 1
    assert set(np.unique(margins.classes)) <= set(range(len(NAMES) + 3))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(margins)).of(outputs), margins.lead)


def test_margins_compare_models_that_find_different_numbers():
    float_model, other = (detections.mask_rcnn(rectangles(17, count)) for count in (4, 3))
    recipe = float_model.recipe()
    margins = head_of(recipe).margins(outputs_of(float_model, recipe), recipe)
    errors = np.abs(margins.of(outputs_of(other, recipe)) - margins.lead)
    assert errors.shape == margins.lead.shape
    assert errors.max() > 0.4


@pytest.mark.parametrize(
    ("kind", "output", "where"),
    [
        ("mask-rcnn", 0, np.s_[:, 0]), ("mask-rcnn", 2, np.s_[:]), ("mask-rcnn", 3, np.s_[:]),
        ("yolo-seg", 0, np.s_[:, 0]), ("yolo-seg", 0, np.s_[:, 4:7]), ("yolo-seg", 0, np.s_[:, 7:]),
        ("yolo-seg", 1, np.s_[:]), ("yolo-seg, rows", 0, np.s_[:, :, 0]), ("query-masks", 0, np.s_[:]),
        ("query-masks", 1, np.s_[:]),
    ],
)  # fmt: skip
def test_noise_in_every_part_of_the_outputs_shows_and_more_noise_shows_more(kind, output, where):
    """Boxes, scores, coefficients, prototypes, masks: none may go wrong unseen."""
    maker = {"mask-rcnn": lambda found: detections.mask_rcnn(found, pasted=False)}.get(kind, MAKERS[kind])
    made = maker(rectangles(18))
    recipe = recipe_of(kind, made)
    outputs = [array.copy() for array in outputs_of(made, recipe)]
    if kind == "query-masks":
        outputs[1] = outputs[1] / 30  # or the sigmoid hides all
    if output == 1 or where == np.s_[:, 7:]:
        outputs[-1] = outputs[-1] / 4
    margins, found = head_of(recipe).margins(outputs, recipe), []
    for size in (0.02, 0.2):
        noisy = [array.copy() for array in outputs]
        noisy[output][where] += size * np.random.default_rng(1).normal(size=noisy[output][where].shape)
        found.append(np.square(margins.of(noisy) - margins.lead).sum())
    assert 0 < found[0] < found[1]


@given(SEEDS)
@settings(max_examples=50)
def test_no_error_of_scores_and_masks_below_the_margin_changes_a_cell(seed):
    rng = np.random.default_rng(seed)
    count, threshold = int(rng.integers(0, 5)), float(rng.choice([0.25, 0.5]))
    scores, masks = rng.random(count).astype(np.float32), rng.random((count, 3, 4)).astype(np.float32)
    classes = rng.integers(0, 2, count)

    def covered(scores, masks):
        hit = (scores[:, None, None] > threshold) & (masks > 0.5)
        return np.stack([(hit & (classes == k)[:, None, None]).any(axis=0) for k in (0, 1)])[:, None]

    lead = leads([Soft(scores, classes, masks)], 2, (3, 4), threshold)
    np.testing.assert_array_equal(lead > 0, covered(scores, masks))
    error = 0.98 * np.abs(lead).min()
    moved = [part + error * rng.choice([-1, 1], part.shape).astype(np.float32) for part in (scores, masks)]
    np.testing.assert_array_equal(covered(*moved), covered(scores, masks))


def test_the_grid_is_bounded_where_classes_are_many():
    made = detections.mask_rcnn(rectangles(19))
    recipe = replace(made.recipe(), classes=tuple(f"k{k}" for k in range(4000)))
    assert head_of(recipe).margins(outputs_of(made, recipe), recipe).lead.size <= 2**17 + 100


# Recipes.


@kinds
def test_a_completed_recipe_is_complete_and_survives_toml(kind):
    made = MAKERS[kind](rectangles(20))
    done, head = recipe_of(kind, made), HEADS[kind.partition(",")[0]]
    assert isinstance(head, InstanceHead)
    assert head.overlapping
    assert head.complete(done, made.specs, INPUT) == done
    assert (done.head, done.size, done.classes, done.layout) == (head.name, SIZE, NAMES, None)
    assert (done.nms_iou == 0.7) == (kind == "yolo-seg")
    assert done.name in {spec.name for spec in made.specs}
    assert recipe_from_toml(Recipe(INPUT, done).to_toml(), source="r") == Recipe(INPUT, done)
    assert head.outputs(done, made.specs) == head.outputs(done, made.specs[::-1])
    assert set(head.outputs(done, made.specs)) == {spec.name for spec in made.specs}
    assert head.class_count(outputs_of(made, done), done) == 3
    assert head.class_names(("a",), 2) == ("a", "class 1")
    losses = head.losses(done)
    assert (None if losses is None else len(losses)) == (len(made.specs) if head.gives_numbers else None)


@kinds
def test_instances_are_not_folded(kind):
    made = MAKERS[kind](rectangles(21))
    recipe = recipe_of(kind, made)
    with pytest.raises(PlanError, match=r"fold='argmax': head .* finds any number of instances") as one:
        head_of(recipe).fold([], recipe)
    assert "\n" not in str(one.value)


@kinds
def test_a_recipe_that_contradicts_the_outputs_is_one_line(kind):
    made = MAKERS[kind](rectangles(22))
    name = kind.partition(",")[0]
    for wrong, fact in (
        ({"layout": "NCHW"}, "output.layout"),
        ({"name": "nothing"}, "output.name: no output 'nothing'"),
    ):
        with pytest.raises(RecipeError, match=fact) as one:
            made.recipe(head=name, **wrong)
        assert "\n" not in str(one.value)
    if kind in ("yolo-seg", "query-masks"):
        with pytest.raises(RecipeError, match=r"output\.classes: 7 names, but"):
            made.recipe(head=name, classes=tuple("tuvwxyz"))


def test_masks_that_would_fill_the_memory_are_refused(monkeypatch):
    made = detections.mask_rcnn(rectangles(23))
    monkeypatch.setattr(limits, "INSTANCE_PIXELS", 100 * SIZE[0] * SIZE[1])
    assert made.recipe().size == SIZE
    with pytest.raises(Exception, match="masks of 101 instances or classes at 32x48 have more than"):
        made.recipe(classes=tuple(f"k{k}" for k in range(101)))


def test_a_recipe_without_a_size_is_one_line():
    made = detections.mask_rcnn(rectangles(24))
    recipe = OutputRecipe(name="masks", head="mask-rcnn", classes=NAMES)
    with pytest.raises(RecipeError, match=r"output\.size"):
        class_map(outputs_of(made, recipe), recipe)
